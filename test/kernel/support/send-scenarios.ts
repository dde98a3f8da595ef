/** What happens to a subvolume, `.` being it: before its first snapshot, and between that and the second one. */
export interface ScenarioScript {
  /** Number in the `btrfs` group of fstests of the test whose scenario this is like. */
  readonly like: number;
  readonly title: string;
  readonly before: string;
  /** After the first snapshot and before a new mount, which gives numbers of removed inodes to new ones. */
  readonly middle?: string;
  readonly after: string;
  /** Paths of nested subvolumes in the first snapshot, and in the second. */
  readonly nested?: Readonly<Record<"one" | "two", readonly string[]>>;
}

/**
 * Functions that the scripts use, besides the variable `BIG`: bytes that an extended attribute may have. `fill FILE OFFSET
 * LENGTH BYTE`, `every_other FILE COUNT` (blocks of 4 KiB), `clone FROM AT TO AT LENGTH`, `dedupe FROM AT TO AT LENGTH`,
 * `has_number_of FILE OLD` (OLD of the first snapshot; they are two inodes of one number).
 */
export const FUNCTIONS = `
has_number_of() { local one=\${PWD/live-/one-}; [ $(stat -c %i $1) = $(stat -c %i $one/$2) ] && [ "$(stat -c %w $1)" != "$(stat -c %w $one/$2)" ]; }
every_other() { python3 -c 'import os,sys
fd=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT,0o644)
for i in range(int(sys.argv[2])): os.pwrite(fd,os.urandom(4096),i*8192)
os.fsync(fd)' "$@"; }
fill() { python3 -c 'import os,sys
f,at,n,b=sys.argv[1],int(sys.argv[2]),int(sys.argv[3]),sys.argv[4]
fd=os.open(f,os.O_RDWR|os.O_CREAT,0o644); os.pwrite(fd,b.encode()*n,at); os.fsync(fd)' "$@"; }
clone() { python3 -c 'import fcntl,os,struct,sys
a,x,b,y,n=sys.argv[1],int(sys.argv[2]),sys.argv[3],int(sys.argv[4]),int(sys.argv[5])
s=os.open(a,os.O_RDONLY); d=os.open(b,os.O_RDWR|os.O_CREAT,0o644)
fcntl.ioctl(d,0x4020940d,struct.pack("qQQQ",s,x,n,y))' "$@"; }
dedupe() { python3 -c 'import fcntl,os,struct,sys
a,x,b,y,n=sys.argv[1],int(sys.argv[2]),sys.argv[3],int(sys.argv[4]),int(sys.argv[5])
s=os.open(a,os.O_RDONLY); d=os.open(b,os.O_RDWR); os.fsync(d)
told=bytearray(struct.pack("QQHHI",x,n,1,0,0)+struct.pack("qQQiI",d,y,0,0,0))
fcntl.ioctl(s,0xc0189436,told)
assert struct.unpack_from("QiI",told,40)[:2]==(n,0),told' "$@"; }
`;

export const SCENARIO_SCRIPTS: readonly ScenarioScript[] = [
  {
    like: 8,
    title: "nested directories with files",
    before: "mkdir -p a/b/c d; fill a/f 0 9000 a; fill a/b/f 0 100 b; fill a/b/c/f 0 70000 c",
    after: "mkdir a/b/c/d; fill a/b/c/d/f 0 5000 d; fill a/b/f 100 9000 e; rmdir d",
  },
  {
    like: 16,
    title: "a hole is punched",
    before: "fill f 0 131072 a; fill g 0 262144 b",
    after: "fallocate -p -o 4096 -l 16384 f; fallocate -p -o 131072 -l 131072 g",
  },
  {
    like: 19,
    title: "directories and files are moved around",
    before: "mkdir -p a/b/c; touch a/b/c/x a/y",
    after: "mkdir n; mv a/b n/b; mv a/y n/b/c/y; mv a n/a; touch n/a/z",
  },
  {
    like: 25,
    title: "clones are aligned to blocks",
    before: "fill f 0 22528 a; fill g 0 4096 b",
    after: "clone f 0 g 16384 20480; cp --reflink=always f h; fill f 4096 100 c",
  },
  {
    like: 30,
    title: "a deep path is turned around",
    before: "mkdir -p a/b/c/d/e; touch a/b/c/d/e/f",
    after: "mv a/b/c/d/e x; mv a/b/c/d x/d; mv a/b/c x/d/c; mv a/b x/d/c/b; mv a x/d/c/b/a; mv x e",
  },
  {
    like: 34,
    title: "what is no hole in front of a shared leaf",
    before: "fill f 0 4096 a; fill f 65536 4096 b; every_other g 600; every_other h 600",
    after:
      "fill f 131072 4096 c; fill f 20480 4096 d; fill g 8192 4096 e; fallocate -p -o 16384 -l 4096 g; truncate -s 1M h",
  },
  {
    like: 38,
    title: "a compressed extent is used from its middle on",
    before: "fill f 0 131072 a; fill f 131072 131072 b",
    after: "fill f 40960 8192 c; clone f 65536 g 0 65536",
  },
  {
    like: 39,
    title: "the child of a directory with a higher number, both renamed",
    before: "mkdir -p b a; touch b/f; mv b a/b",
    after: "mv a/b a/b2; mv a a2",
  },
  {
    like: 40,
    title: "hard links in a directory that goes",
    before: "mkdir d; touch d/a; for i in $(seq 20); do ln d/a d/l$i; done; ln d/a keep",
    after: "rm -r d",
  },
  {
    like: 43,
    title: "a directory is removed when it has become empty",
    before: "mkdir -p a/b; touch a/b/f; mkdir c; mv a/b c/b2; mkdir a/b",
    after: "mv c/b2/f f; rm -r c a; mkdir c",
  },
  {
    like: 44,
    title: "attributes of a directory whose move waits",
    before: "mkdir -p a/b/c/d; mkdir e",
    after: "mv a/b/c/d e/d2; mv a/b/c e/d2/c2; chmod 700 e/d2/c2 e/d2; chown 1:2 e/d2/c2; mv e a/b/e",
  },
  {
    like: 45,
    title: "loops of paths with moves that wait",
    before: "mkdir -p a/b/c/d x/y/z/w; touch a/b/c/d/f x/y/z/w/g",
    after: "mv a/b/c x/y/z/w/c; mv x/y/z a/b/z; mv a/b x2; mv x/y x2/z/y; mv x2 x/a2",
  },
  {
    like: 46,
    title: "data that did not change beside a hole",
    before: "truncate -s 1M f; fill f 524288 4096 a",
    after: "fill f 528384 4096 b; truncate -s 2M f",
  },
  {
    like: 48,
    title: "properties",
    before:
      "mkdir d; touch f; btrfs property set d compression zlib; btrfs property set f compression lzo; fill d/g 0 50000 a",
    after:
      "btrfs property set d compression zstd; btrfs property set f compression none; btrfs property set . compression lzo; touch d/h; fill n 0 9000 a",
  },
  {
    like: 50,
    title: "names in extended references only",
    before:
      "for f in f g; do touch $f; for i in $(seq 200); do ln $f $f$(printf '%0200d' $i); done; rm $f; for i in $(seq 90); do rm $f$(printf '%0200d' $i); done; done; touch h; mkdir d; for i in $(seq 100); do ln h d/$(printf '%0200d' $i); done",
    middle: "rm -r d",
    after:
      "rm f$(printf '%0200d' 97) f$(printf '%0200d' 199); mv f$(printf '%0200d' 198) n; ln g$(printf '%0200d' 98) new; ln new f$(printf '%0200d' 99)x; mkdir d; has_number_of d d; for i in $(seq 100); do ln h d/$(printf '%0200d' $i); done",
  },
  {
    like: 51,
    title: "long paths",
    before: "n=$(printf '%0250d' 1); mkdir -p $n/$n/$n/$n/$n; touch $n/$n/$n/$n/$n/$n",
    after: "n=$(printf '%0250d' 1); m=$(printf '%0250d' 2); mv $n/$n $n/$m; mv $n $m; touch $m/$m/$n/new",
  },
  {
    like: 53,
    title: "large extended attributes",
    before: 'touch f; setfattr -n user.big -v $(printf "%0*d" $BIG 1) f',
    after: 'setfattr -n user.big -v $(printf "%0*d" $BIG 2) f; setfattr -n user.new -v $(printf "%0*d" $BIG 3) f',
  },
  {
    like: 54,
    title: "a directory's name goes to a subvolume, and a subvolume's to a directory",
    before: "mkdir x z; touch x/f; btrfs -q subvolume create y; btrfs -q subvolume create z/s",
    after: "rm -r x; btrfs -q subvolume create x; btrfs -q subvolume delete y; mkdir y; touch y/f; mv z z2",
    nested: { one: ["y", "z/s"], two: ["x", "z2/s"] },
  },
  {
    like: 77,
    title: "a directory moves below one that takes its name",
    before: "mkdir x; touch x/f",
    after: "mkdir n; mv x n/y; mv n x",
  },
  {
    like: 83,
    title: "a directory takes the name of one that has to move first",
    before: "mkdir -p a/b/c d; touch a/b/c/f",
    after: "mv a/b/c d/c2; mv a/b d/c2/b2; mv d a/b",
  },
  {
    like: 84,
    title: "the same path, with the directories at the top swapped",
    before: "mkdir -p a/p b/p; touch a/p/1 b/p/2",
    after: "mv a t; mv b a; mv t b; mv a/p a/q; mv b/p a/p; mv a/q b/p",
  },
  {
    like: 87,
    title: "many parents and children turned around",
    before:
      "for i in 1 2 3; do mkdir -p $i/a/b/c/d/e/f/g/h; for n in $(find $i -type d); do touch $n/file; mkdir $n/side; done; done",
    after:
      "for i in 1 2 3; do mv $i/a/b/c/d/e/f/g/h n$i; mv $i/a/b/c/d/e/f/g n$i/g; mv $i/a/b/c/d/e/f n$i/g/f; mv $i/a/b/c/d/e n$i/g/f/e; mv $i/a/b/c/d n$i/g/f/e/d; mv $i/a/b/c n$i/side/c; mv $i/a/b n$i/side/c/side/b; mv $i/a n$i/side/c/side/b/a; mv $i n$i/side/c/side/b/a/side/i; done; mv n1 n2/g/side/1; mv n2/g/f n3/side/2",
  },
  {
    like: 92,
    title: "names given to others while ancestors are turned around",
    before: "mkdir -p t/dir1/p1 t/dir2; touch t/dir1/p1/q",
    after: "mv t/dir1/p1 t/p1; mv t/dir1 t/p1/dir2; mv t/dir2 t/dir1; mv t/p1 t/dir1/p1; mv t/dir1/p1/dir2 t/dir2",
  },
  {
    like: 94,
    title: "a range with data offsets inside is cloned from compressed extents",
    before: "fill f 0 131072 a; fill f 131072 131072 b; sync; fill f 98304 65536 c",
    after: "clone f 65536 g 0 131072; clone f 0 h 4096 262144",
  },
  {
    like: 97,
    title: "an extent is cloned to lower offsets of its file",
    before: "fill f 262144 131072 a",
    after: "clone f 262144 f 131072 131072; clone f 262144 f 0 65536",
  },
  {
    like: 105,
    title: "a file is replaced by one of the same name and number, which was made in a copy of the subvolume",
    before:
      "touch a; fill f 0 70000 a; btrfs -q subvolume snapshot . ../copy-105; rm f; fill f 0 90000 c; cd ../copy-105; rm f; sleep 0.01; fill f 0 50000 b",
    after: "cd ..; mv live-105 old-105; mv copy-105 live-105; cd live-105; has_number_of f f",
  },
  {
    like: 108,
    title: "reflinked files",
    before: "fill f 0 196608 a; cp --reflink=always f g; cp --reflink=always g h",
    after: "cp --reflink=always f i; fill g 65536 4096 b; rm h; clone g 0 j 8192 131072",
  },
  {
    like: 109,
    title: "reflinked compressed files",
    before:
      "touch f; btrfs property set f compression zlib; fill f 0 200000 a; cp --reflink=always f g; clone f 65536 h 0 65536",
    after: "clone f 0 g 65536 131072; fill h 4096 4096 b; cp --reflink=always h i; clone i 0 f 0 65536",
  },
  {
    like: 117,
    title: "a clone source below several directories",
    before: "mkdir -p a/b/c; fill a/b/c/f 0 65536 a",
    after: "cp --reflink=always a/b/c/f g; mv a/b d; cp --reflink=always d/c/f a/h",
  },
  {
    like: 127,
    title: "entries are switched in a hierarchy that changes",
    before: "mkdir -p d/a d/b; touch d/a/1 d/b/2 d/3",
    after: "mv d/a d/t; mv d/b d/a; mv d/t d/b; mv d/a/2 d/b/2x; mv d/b/1 d/a/1x; mv d/3 d/b/1; mv d e",
  },
  {
    like: 128,
    title: "many moves that wait",
    before: "mkdir -p a/b/c/d w/x/y/z; for i in $(seq 30); do mkdir -p a/b/c/d/$i w/$i/$i; touch w/$i/$i/f; done",
    after:
      "mv w/x/y/z t; mv w/x/y t/y; mv a/b/c/d t/y/d; mv a/b/c t/y/d/c; mv a/b w/x/b; mv w t/y/d/c/w; for i in $(seq 30); do mv t/y/d/$i t/y/d/c/w/$i/$i/new; done; mv a t/y/d/c/w/x/b/a",
  },
  {
    like: 129,
    title: "no directory is removed too early",
    before: "mkdir -p a/b a/c; touch a/b/1 a/c/2 a/3",
    after: "mkdir n; mv a/b n/b; mv a/c/2 n/b/2; mv n/b/1 n/1; rm -r a; mv n/b a",
  },
  {
    like: 133,
    title: "a new file has the number of one that went, both at the top",
    before: "touch a; fill f 0 5000 a",
    middle: "rm f",
    after: "fill g 0 6000 b; mkdir d; has_number_of g f",
  },
  {
    like: 134,
    title: "directories move out of one that is removed and whose number a new one gets, below which one of them comes",
    before: "mkdir d e; touch d/f e/g; mkdir p; mv d p/d; mv e p/e",
    middle: "mv p/d d; mv p/e e; rmdir p",
    after: "mkdir q; mv d q/d2; mv e e2; has_number_of q p",
  },
  {
    like: 135,
    title: "directories of the same number have the same name for different inodes",
    before: "mkdir a d; touch d/f d/g",
    middle: "rm -r d",
    after:
      "mkdir e; touch e/g; fill e/f 0 5000 b; mv a e/a; has_number_of e d; has_number_of e/g d/f; has_number_of e/f d/g",
  },
  {
    like: 137,
    title: "holes in both snapshots",
    before: "truncate -s 3M f; fill f 1048576 65536 a; fill g 0 4096 a; truncate -s 1M g",
    after: "fill f 2097152 65536 b; truncate -s 4M f; fill g 524288 4096 b",
  },
  {
    like: 144,
    title: "an inode is renamed and linked, another one takes its name",
    before: "mkdir a b; touch a/f a/g",
    after: "mv a/f b/f2; ln b/f2 a/l; mv a/g a/f",
  },
  {
    like: 145,
    title: "a file takes the name of the directory that it was in",
    before: "mkdir -p a/b; touch a/b/f",
    after: "mv a/b/f t; mv a/b c; mv t a/b; mv a/b t; rmdir a; mv t a",
  },
  {
    like: 147,
    title: "a file takes a moved directory's name, and gets a link inside of it",
    before: "mkdir d; touch f",
    after: "mv d e; mv f d; ln d e/l",
  },
  {
    like: 149,
    title: "a shared block at the start of a file",
    before: "fill f 0 4096 a; fill f 4096 61440 b; fill g 0 4096 c",
    after: "clone f 0 h 0 4096; clone g 0 i 0 4096; clone g 0 f 65536 4096",
  },
  {
    like: 155,
    title: "one link of several gets the path of another inode",
    before: "mkdir d; touch d/a; ln d/a d/b; ln d/a c; touch x",
    after: "mv x y; mv c x; mv d/b c; mv y d/b",
  },
  {
    like: 169,
    title: "a hole is punched into what was preallocated behind the end",
    before: "fill f 0 65536 a; fallocate -n -o 65536 -l 1048576 f",
    after: "fallocate -p -o 131072 -l 262144 f; fill f 65536 4096 b",
  },
  {
    like: 178,
    title: "several directories are turned around in both directions",
    before: "mkdir -p a/b/c d/e/f; touch a/1 d/2",
    after: "mv a/b/c d/e/f/c; mv d/e/f a/b/f; mv d/e a/b/f/e; mv a/b d/b; mv a d/b/a",
  },
  {
    like: 188,
    title: "a hole is punched up to the end, in front of what was preallocated behind it",
    before: "fill f 0 500000 a; fallocate -n -o 500000 -l 700000 f",
    after: "fallocate -p -n -o 100000 -l 400000 f; fallocate -p -n -o 800000 -l 100000 f",
  },
  {
    like: 189,
    title: "the unaligned end of a file is not cloned into another's middle",
    before: "fill f 0 70000 a; fill g 0 262144 b",
    after: "cp --reflink=always f h; clone f 0 g 131072 65536; fill h 131072 4096 c",
  },
  {
    like: 191,
    title: "parts of a file are deduplicated in both snapshots",
    before: "fill f 0 131072 a; dedupe f 0 f 65536 65536; fill g 0 131072 a",
    after: "dedupe f 0 g 0 131072; fill f 131072 65536 a; dedupe g 65536 f 131072 65536",
  },
  {
    like: 200,
    title: "clones inside of one file",
    before: "fill f 0 131072 a; clone f 0 f 524288 131072",
    after: "clone f 0 f 262144 65536; clone f 524288 f 786432 131072",
  },
  {
    like: 203,
    title: "a file is cloned into itself, with a hole, and grows",
    before: "fill f 0 65536 a; clone f 0 f 131072 65536",
    after: "clone f 131072 f 327680 65536; fill f 458752 4096 b; clone f 458752 f 524288 4096",
  },
  {
    like: 214,
    title: "capabilities survive chown and chmod",
    before: "touch f g; setcap cap_net_raw+p f; setcap cap_net_raw+p g",
    after: "chown 1:1 f; setcap cap_net_raw+p f; chmod 700 g",
  },
  {
    like: 221,
    title: "several inodes swap names and places, a file with the directory that it was in",
    before: "mkdir -p a/b c; touch a/b/f c/g; fill a/h 0 5000 a",
    after: "mv a/b/f t; mv a/b u; mv t a/b; mv u c/b; mv c/g a/g; mv a/h c/b/g; mv c v; mv a c; mv v a",
  },
  {
    like: 222,
    title: "an inode of two links is swapped with two directories",
    before: "mkdir -p d/e; touch a; ln a b; touch d/e/x",
    after: "mv a t; mv b u; mv d/e b; mv d a; mv t b/e; mv u a/d",
  },
  {
    like: 227,
    title: "a directory is removed, a new one gets its number",
    before: "mkdir -p a/b; touch a/b/f",
    middle: "rm -r a/b",
    after: "mkdir n; touch n/f; mv a n/a; has_number_of n a/b; has_number_of n/f a/b/f",
  },
  {
    like: 229,
    title: "parts of an extent are cloned into its own file, its middle is overwritten",
    before: "fill f 0 131072 a; clone f 0 f 131072 65536; fill f 32768 16384 b",
    after: "clone f 49152 f 262144 65536; fill f 147456 8192 c",
  },
  {
    like: 235,
    title: "the capability of one file is not another's",
    before: "touch f g; setcap cap_net_raw+p f; fill h 0 5000 a",
    after: "chown 3:3 g h; chmod 600 f; fill g 0 9000 b; cp h i",
  },
  {
    like: 241,
    title: "a file takes a directory's name, and a link another's in it",
    before: "mkdir -p a/b; touch f; touch a/b/g",
    after: "mv a/b c; mv f a/b; ln a/b c/l; mv c/g a/g; mv a d; mv d/b a",
  },
  {
    like: 272,
    title: "a link does not meet what is there still",
    before: "mkdir d; touch d/a d/b; ln d/a d/c",
    after: "mv d/a e; mv d/b d/a; ln e d/b; rm d/c; ln d/a d/c",
  },
  {
    like: 281,
    title: "an extent is shared in part, with a size that is not aligned",
    before: "fill f 0 131072 a; clone f 0 g 0 131072; truncate -s 100000 g",
    after: "clone f 65536 h 0 65536; truncate -s 60000 h; fill g 100000 500 b",
  },
  {
    like: 283,
    title: "the best clone source is one of the whole extent",
    before: "fill f 0 131072 a; clone f 4096 b 0 4096; clone f 0 c 0 131072",
    after: "cp --reflink=always c d; rm f",
  },
  {
    like: 303,
    title: "one new extent in a sparse file",
    before: "truncate -s 10M f; fill f 0 4096 a",
    after: "fill f 5242880 4096 b",
  },
  {
    like: 312,
    title: "compressed extents beside and over each other",
    before: "for i in 0 1 2 3 4 5 6 7; do fill f $((i * 49152)) 40960 $i; done; sync -f f",
    after:
      "fallocate -p -o 65536 -l 65536 f; fill f 61440 8192 x; fill f 131072 65536 y; clone f 131072 f 16384 65536; fill f 20480 4096 z",
  },
  {
    like: 319,
    title: "an unaligned last extent is cloned",
    before: "fill f 0 100500 a",
    after: "cp --reflink=always f g; fill h 0 300000 b; cp --reflink=always f h",
  },
  {
    like: 322,
    title: "an unaligned last extent is cloned to a file that shrank",
    before: "fill f 0 100500 a; fill g 0 300000 b",
    after: "truncate -s 0 g; clone f 0 g 0 0",
  },
  {
    like: 338,
    title: "directories with very many links go",
    before:
      "mkdir d e; touch f; for i in $(seq 300); do ln f d/$(printf '%0150d' $i); ln f e/$(printf '%0150d' $i); done",
    after: "rm -r d e",
  },
];
