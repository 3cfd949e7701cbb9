// Package tailer follows files: it finds them, recognises them across
// rotations and restarts, and hands on their complete lines, each once.
//
// # Words
//
// A file is one generation of a path: what was written between two rotations.
// It has an id for good. Its home is the path it is written under; a family is
// all that is written under one home: the file there and its earlier
// generations, which have rotated names (a number or a date added). A
// [Position] is all that is known of a file. It goes to the [Handler] together
// with the bytes before it, and whoever starts a tailer gives back positions
// that were made durable together with these bytes. Nothing else is kept.
//
// # One scan, one look, one turn
//
// A scan lists the directories of the patterns, finds the known files among
// what is there by inode and content, decides what became of the others, and
// follows what is new. It runs after every event that changes names, when a
// look finds that a file is not what it was, when a decision is due, and on a
// timer. A look compares size, time, fingerprint and anchor; the anchor is read
// in one go with the data behind it. A turn reads at most one buffer of one
// file; an event that a file was written to costs a look at that file.
//
// # Watching many files that are quiet
//
// The timer mostly brings a glance instead of a scan: it asks for the times of
// all directories that the last scan went by, and for inode, size and time of
// the names it looked at. Growth is read; anything else that is new means a
// scan. A directory tells of names only if its time is older than the coarsest
// tick of a file system. Whatever the last scan left open (something waited
// for, unreadable, or nameless, a file that was moved or finished since) means
// a scan as well. So a glance decides nothing, it only says that a scan would
// decide what the last one did.
//
// With inotify a glance asks for at most 1,000 names, in turn, and a scan is
// done every 60 scan intervals in any case. Without, a glance asks for all
// names at every poll interval, and a scan is done every scan interval. On a
// file system that other machines write to, inotify is silent: there growth of
// a file that is closed is noticed after ScanInterval per 1,000 files.
//
// A file that was seen growing is held open until it has been still for
// CloseInactive, so that it is read to its end even if it is renamed and
// deleted; one that was only read, for 10 s.
//
// # What can happen to a file
//
// classify decides it from the facts that a scan gathers; TestClassify has a
// case for each row of it. Each row is also driven on real files, and
// TestHistories drives random mixtures of them, with crashes.
//
//	what happened                     facts                           verdict   test
//	grew                              at home, same bytes             readOn    TestGrowth
//	renamed, new file at home         elsewhere, same bytes           drain     TestRenamed
//	moved out of sight                open, still linked              drain     TestRenamedOutOfSight
//	renamed while down                elsewhere, same bytes           drain     TestRenamedWhileDown
//	several rotations while down      unknown siblings, not older     followed  TestRenamedWhileDown
//	truncated, shrunk or outgrown     bytes differ, a copy has them   takeCopy  TestTruncated
//	truncated, same header            at home, a copy has more        waitFor,  TestHistories
//	                                                                  takeCopy
//	truncated, no copy                bytes differ, no copy           waitFor   TestTruncatedWithoutCopy
//	the same, unchanged since         the same, for RotateWait        giveUp    TestTruncatedWithoutCopy
//	the copy matches the patterns     a beginning of what is at home  held      TestTruncated
//	a copy comes late                 (length, CRC) of a done file    skipped   TestLateCopyOfFinished
//	inode used anew                   other birth, or bytes differ    as above  TestInodeReused
//	replaced by a copy of itself      gone, home has its bytes        takeHome  TestReplacedByCopy
//	deleted while open                open, not linked                drain     TestDeletedWhileOpen
//	deleted, its copy unreadable      open, a copy in doubt           drain,    TestDeletedCopyUnreadable
//	                                                                  waitFor
//	copied up in an overlay           its descriptor's inode is       readOn    TestCopiedUp
//	                                  another now, same bytes
//	symbolic link of another user     neither root nor the owner of     none      TestLinkPolicies,
//	                                  the file owns it                            TestLinkSwapped
//	symbolic link retargeted          home is not wanted any more     drain     TestSymlink
//	rotated beside a link's target    unknown siblings of the target  followed  TestMissedBesideTarget
//	devices renumbered                same inode number and bytes     readOn    TestDeviceRenumbered
//	unreadable                        bytes unsure                    waitFor   TestUnreadable
//	never readable before rotations   bytes unsure                    waitFor   TestFirstUnreadable
//	several rotations, unreadable     unknown sibling, born before    followed  TestMissedUnreadable
//	                                  what is at home began
//	truncated, copy unreadable        bytes differ, a copy in doubt   waitFor   TestUnreadableCopy
//	few bytes read, copy unreadable   at home, a copy in doubt        waitFor   TestUnreadableCopyOfFew
//	missed, in an unreadable copy     unknown sibling, born before    followed  TestMissedCopyUnreadable
//	                                  what is at home began
//	truncated, inode unreadable       bytes unsure, a sibling         waitFor   TestTruncatedUnreadable
//	                                  has them
//	few bytes read, replaced or not   home has them, a copy in doubt  waitFor   TestHomeOrUnreadableCopy
//	cut short by a loss of power      same inode and beginning,         goOn      TestPowerLoss
//	                                  another boot, no copy
//	same header as an older copy      copy older than the file          none      TestOldCopyOfSameHeader
//	the same bytes again              made after the finished file      followed  TestSameReportAgain,
//	                                  was gone, or younger by name                TestSameReportUnderItsName
//	rotated on another machine        copied late, with its old time    followed  TestRotatedElsewhere
//	written to under a rotated name   found under it, nothing rotated   drain     TestLiveUnderRotatedName
//	planted by another user           neither root's nor the owner's    none      TestPlantedCopies
//	hard link                         inode is followed already       none      TestHardLink
//	directory can't be listed         none                            none      TestUnlistableDirectory
//	NULs of a truncation              new generation starts with them skipped   TestSkippedNULs
//	rotated, compressed               gone, a packed copy has them    takeCopy  TestCompressedWhileDown,
//	                                                                            TestCompressedWhileRunning
//	several rotations, compressed     unknown packed siblings         followed  TestCompressedWhileDown
//	truncated, copy compressed        bytes differ, a packed copy     takeCopy  TestTruncatedCompressed
//	being compressed                  the original is still there     waitFor   TestCompressionGoesOn
//	compressed, original kept         packed, the bytes are known     none      TestCompressedKept
//	compressed file that is wanted    packed, the bytes are not known followed  TestCompressedInputs
//	it is cut off or damaged          no proper end                   waits     TestCompressedCutOff,
//	                                                                            TestCompressedDamaged
//
// drain means: read it to its end, keep following it while it grows, and when
// it has been still for CloseInactive, hand on its last bytes even if they lack
// a newline, unless the file may be written to under that name; while something that can't be read may be its copy, it is closed
// then, but not finished, for that copy would pass for a new file. giveUp means
// that bytes are counted as lost. While anything is waited for, no younger
// generation of the family is read; only what can't be read does not hold up
// the others. That needs no state of its own: the position is still the old
// one, so a restart waits again. A wait ends when no sibling that may be the
// copy has changed for RotateWait; others may grow for ever. One wait has no
// end of its own: a file of which at most a KiB was read is not read on, be it
// at home or in what has replaced it there, while a sibling that was made after
// it began, and can't be opened, may be its copy.
//
// # Where inodes mean nothing
//
// With Input.ByContent a file's identity is its path, and no birth is known: what
// is at a path is the file that was read there as long as it has those bytes, and
// those after them that a descriptor shows. A rotation is a truncation then: the
// rest is in the sibling that has the bytes. Generations that begin alike can't be
// told apart before more of them was read; one of which nothing was read is found
// under its rotated name only if the patterns want that. TestByContent has the cases.
//
// # When files are deleted
//
// With Input.DeleteAfter a finished file that is not at home is deleted once
// Options.Delivered has it. Its inode, size, time, fingerprint and anchor must be
// what they were, and it is taken off its name before it is looked at for the last
// time: a rotation may give that name to another file at any moment.
// A crash just then leaves it under a name that ends in ".spoolship-" and its id.
// A plain file that still has the name it was first found under stays: it may be a
// dated or numbered one that an application writes to. So does one that somebody has
// open for writing, and one whose home no pattern names. Names are changed in a
// directory that was opened without following links.
//
// # What is never followed
//
// A link in a directory that others write to must not have the agent ship its own
// spool, its configuration, its keys, or what the kernel makes up. So inodes decide,
// not paths: of Options.Private, of all that lies in the directories among these,
// and of kernel file systems. They are compared when a name is seen, and again with
// fstat after it was opened, since names can be swapped in between.
//
// # When power is lost
//
// After the machine went down a file may be shorter than its position, or have
// NULs where data was. If the inode is the same, its first KiB is, and no copy
// has all that was read, the file is followed anew behind what is left of it:
// at its end if it was seen before anybody wrote to it again, behind the NULs if
// there are some, else behind the longest prefix that a mark proves. In that
// last case the lines between the mark and the cut are read twice, at most as
// many as were read since that mark: some 32 KiB, or a thirtieth of what lies
// behind. Where clocks are set after the boot, a file written to before that
// seems untouched. What was seen and not read yet counts as lost. Of files of
// less than a KiB, what is left is read again.
//
// # How bytes are recognised
//
//	fingerprint    CRC-32C of the first KiB                   every look at a changed file
//	anchor         the last 64 bytes before the offset        every read
//	prefix CRC     CRC-32C of everything before the offset    where names and inodes don't tell
//	marks          about 32 earlier (offset, CRC) pairs       copies and files that are shorter than the offset
//
// # Who makes copies
//
// A file is a copy of another only if root or the owner of that other one owns it,
// its name is that of an older generation, and it was made while there was
// something to copy. All else is a generation of its own, however alike. A
// position notes by when no name led to its file any more, in the time of the file
// system: that of its directory, which the loss of the name has changed.
//
// # Compressed files
//
// Names that end in .gz, .zst or .bz2 are those of compressed files: inputs of
// their own where the patterns want them, and copies of the family that the name
// without the ending belongs to. Offsets and checksums are those of the content;
// all members, frames or streams of a file are one content.
//
// Whose bytes one holds, a survey finds out: a pass over its content, in turns
// beside the reading of other files, that compares prefix CRCs and ends as soon as
// no file is in question. It is made where a compressed file is wanted, where the
// rest of a file is missing, and where a generation may have been missed; not of
// each rotated file: compressors keep the time of the last write, and a sibling with that
// of a known file is that file. While one is under way no younger generation is
// followed. A copy is not decided on while what it is made from is there and it
// has changed within RotateWait.
//
// A decompressor is a coroutine that rests where its share of a turn is over, even
// in the midst of a read; what decompresses to nothing for 64 MiB counts as damaged.
// Two surveys are open at a time, and nobody waits for one after 64 MiB of content.
//
// Reading starts at the beginning and checks the prefix CRC on its way to the
// offset; two files at most are read at a time, as each costs the memory of a decompressor
// (of zstd at most a window of 128 MiB). What is cut off or damaged is
// read as far as it goes, told of, and tried again when it has changed.
// What comes before the damage is handed on before a checksum at its end can be
// compared.
//
// # What can't be told
//
// Contents tell generations apart only where they differ. If the bytes read so
// far are the same as in the next generation (a header, or a file of identical
// lines), names, inodes and birth times decide; a file that is truncated and
// grows past its offset with the same bytes between two looks, and leaves no
// copy, can't be told from one that only grew. Done files of at most a KiB are
// recognised in late copies only if these were made before the next generation
// began: it is better to read a line twice than never. Files edited in place
// are read anew. A generation that was never seen at home and can't be opened is
// found later by its birth; where the file system has none, only if the patterns
// want its rotated name.
//
// A compressed copy whose time is not that of its original is one of a generation of
// at most a KiB only if it was made before the next one began. A finished file of
// at most a KiB that grows and is compressed before anyone looks is read anew.
//
// A link that leads to another file after its target was rotated, both between two
// scans, hides the generation at home there: patterns that want the targets
// themselves find it. So it is with a file that is rotated before it was first seen.
//
// Deliberately absent: line parsing, encodings, other compressions (names that
// end in .xz, .lz4, .lzma are ignored), and any storage of its own.
package tailer
