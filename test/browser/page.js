// @ts-nocheck: built and bundled as a user's program would be, against dist/.

import * as core from "btrkit";
import * as receive from "btrkit/receive";
import * as stream from "btrkit/stream";
import * as checksum from "#checksum";
import * as codec from "#codec";
import { Proof } from "./proof.ts";

const proof = new Proof({ checksum, codec, core, receive, stream });
const fetched = async (path) => new Uint8Array(await (await fetch(`/fixtures/${path}`)).arrayBuffer());

window.proof = {
  checksums: () => proof.checksums(),
  encode: () => proof.encode(),
  decode: (encoded) => proof.decode(encoded),
  stream: async (path) => proof.stream(await fetched(path)),
  rewritten: async (path) => proof.rewritten(await fetched(path)),
  image: async (path) => proof.image(await fetched(path)),
};
