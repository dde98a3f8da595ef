import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { build } from "vite";

/** Debian's, or the one that `CHROMIUM` names. */
const EXECUTABLES = [process.env.CHROMIUM ?? "", "/usr/bin/chromium", "/usr/bin/chromium-browser"];

/** Where a chromium is; `undefined` where none is installed. */
export const executablePath: string | undefined = EXECUTABLES.find((path) => path !== "" && existsSync(path));

const ORIGIN = "https://btrkit.test";
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

/** A page in a browser that has the library as Vite, with nothing set, bundles it for a user's program. */
export class LibraryPage {
  readonly page: Page;
  /** What the page complained of. */
  readonly complaints: string[] = [];
  readonly #browser: Browser;
  readonly #folder: string;

  private constructor(browser: Browser, page: Page, folder: string) {
    this.#browser = browser;
    this.page = page;
    this.#folder = folder;
  }

  /** @param files What the page finds at `/fixtures/NAME`. */
  static async open(files: (name: string) => Uint8Array): Promise<LibraryPage> {
    const folder = mkdtempSync(join(tmpdir(), "btrkit-browser-"));
    await build({
      root: import.meta.dirname,
      configFile: false,
      logLevel: "error",
      build: { outDir: folder, emptyOutDir: true, target: "esnext" },
    });
    const browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    const opened = new LibraryPage(browser, await browser.newPage(), folder);
    opened.page.on("pageerror", (error) => opened.complaints.push(error.message));
    opened.page.on("console", (message) => opened.complaints.push(message.text()));
    await opened.page.route(`${ORIGIN}/**`, async (route) => {
      const path = decodeURIComponent(new URL(route.request().url()).pathname).slice(1);
      const fixture = path.startsWith("fixtures/") ? path.slice("fixtures/".length) : undefined;
      const body = fixture === undefined ? readFileSync(join(folder, path)) : files(fixture);
      await route.fulfill({ body: Buffer.from(body), contentType: TYPES[extname(path)] ?? "application/octet-stream" });
    });
    await opened.page.goto(`${ORIGIN}/index.html`);
    await opened.page.waitForFunction("window.proof !== undefined");
    return opened;
  }

  /** Calls a function of page.js; argument and result are cloned. */
  async call<T>(name: string, argument?: unknown): Promise<T> {
    return this.page.evaluate(
      ([method, value]) =>
        (window as unknown as { proof: Record<string, (value: unknown) => Promise<T>> }).proof[method as string]!(
          value,
        ),
      [name, argument] as const,
    );
  }

  async close(): Promise<void> {
    await this.#browser.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
