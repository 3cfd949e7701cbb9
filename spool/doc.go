// Package spool is the durable queue: a chain of bbolt segments that holds
// compressed blocks, the chunks they belong to and the positions they were
// read up to. Every call of Append, of one batch or of several, is one transaction.
//
// It knows bytes and names; it does not know S3, compression or files that are
// followed. It never retries, starts no goroutines, and drops nothing
// that it is not told to (Drop).
//
// # The state directory
//
//	lock                          flock; holds the owner's process id as text
//	ballast                       4 MiB, given back when the disk is full
//	suspect                       a commit failed: the next open replaces the head
//	queue/00000000000000000001.seg  closed segments: blocks only count, never written again
//	queue/00000000000000000002.seg  the highest number: the head, the only file written
//	queue/*.seg.tmp               a head in the making; removed at open
//	quarantine/                   what was set aside: *.blocks (blocks, one after the other)
//	                              with a *.txt, and whole segments; never deleted
//
// # A segment
//
// A segment is a bbolt file without a synced free list. Numeric keys are 8
// bytes, big endian. An entry of inputs, positions, chunks or segments, and
// meta's state, is a CRC-32C of bucket name, key and payload (4 bytes, big
// endian), then the payload. Payloads are varints (encoding/binary) and
// strings with a varint length, after a version byte.
//
//	bucket     key             value
//	meta       format          4 bytes, big endian: 1; read before anything else
//	meta       segment         the segment's number
//	meta       queue           queue id, 16 hex digits
//	meta       state           queue, segment, batch, next chunk, next file, quarantined,
//	                           device, inode, tally count, tally sum, boot id
//	inputs     name            queue, number of the next chunk (from 1); dropped chunks,
//	                           records and bytes
//	positions  file id         opaque
//	chunks     chunk seq       manifest
//	segments   segment number  nothing; closed segments that chunks need
//	blocks     chunk seq       bucket: batch number -> bucket: index in the
//	                           batch (4 bytes, big endian) -> block
//	restored   chunk seq       bucket: segment, batch number, index (4 bytes, big
//	                           endian) -> block; the bucket may be missing
//
// The tally is the count and the sum of the CRCs of all entries of the four
// state buckets: a lost or stale entry shows in it. Closed segments keep the
// state of the time they were closed; only their blocks count.
//
//	manifest   state (0 open, 1 sealed, 2 tombstone), labels, input, name
//	           template, name, id, codec, cause, reason, blocks, records, stored size,
//	           raw size, lost records, lost size, first, last, opened, sealed,
//	           digest chain (32 bytes), extents
//	label      queue, number, index of the first block under it
//	extent     segment number, blocks, bytes
//
//	block      header, data
//	header     magic 93 's' 'p' 'b' 'l' 'k' 0d 0a, version 1, encoding (1 byte),
//	           length of the header (4 bytes, big endian), queue, chunk seq,
//	           chunk number, batch, commit time, stored size, CRC-32C of data
//	           (4 bytes), input, name template, codec, raw size, CRC-32 (IEEE) of
//	           the raw bytes (4 bytes), records, first, last, ranges, CRC-32C of
//	           all before (4 bytes)
//	range      file, from, to - from, records, time
//
// Times are ns since 1970. The digest chain of a chunk starts from its label
// (SHA-256 of "spoolship chunk\n", the chain so far, queue, input, number) and
// goes on with each block (SHA-256 of the chain so far and the header). The id
// of a chunk is the first 16 hex digits of SHA-256 of "spoolship id\n", the
// chain and what the manifest freezes.
//
// # Why this is safe
//
// Assumed: fsync means durable, a rename is atomic, and a torn meta page fails
// its checksum. A crash is a kill -9 or a power loss.
//
//	crash                        on disk                          the next open
//	before an append's commit    the batch before; free pages     sees the batch before: neither blocks nor
//	                             may have changed                 positions of this one
//	in the commit's last fsync   old or new meta page, whole;     sees all of the batch or nothing of it, and
//	                             after a kill in memory only      syncs the head before anyone acts on that
//	after the commit             the batch                        sees all of it; the caller takes the
//	                                                              positions from here and repeats nothing
//	before, in a seal's commit   the chunk is open, or frozen     seals it again, or finds it frozen; nothing
//	                             with its name                    was shipped under another name, as only a
//	                                                              committed name is ever published
//	after PUT, before the ack    the chunk, frozen                ships the same object again
//	in an ack's commit           the chunk, or nothing of it      as above, or done
//	after the ack, before the    a closed segment that the head   unlinks it
//	unlink is durable            does not list
//	new head written, not        *.seg.tmp, the old head          removes it; the old head is complete, as
//	renamed                                                       nothing is written during a hand-over
//	new head renamed, directory  old head alone, or both          goes on with the highest; both say the same,
//	not synced                                                    and no batch was taken in between
//	new head durable, old one    both                             unlinks the old one if the new one does not
//	not unlinked                                                  list it
//	chunk set aside, burial not  the chunk and a quarantine file  reads the chunk as before; a new burial
//	committed                                                     writes the file again
//	segment kept, burial not     a second name of it in           reads the chunk as before; knows the file by
//	committed, or not unlinked   quarantine/                      its inode and keeps it once
//	in a drop's commit           the chunks, or their tombstones   drops them again if it is still full, or
//	                             and counts                        ships the tombstones
//	in a restore's commit        the damaged block, or both       finds it damaged and restores it again, or
//	                                                              reads the restored one
//
// A commit that fails while the process lives is one of the cases above, but
// which one only a reopen tells; pages of it may be in memory that will never
// reach the disk. So the spool then takes no more writes (ErrOutcomeUnknown),
// and Open with Suspect, or in a directory that is marked as suspect, copies
// all that is live into a new, synced head first.
//
// Damage: every byte that is returned is under a checksum. Damaged pages are
// found by a page check before bbolt maps a file, damaged state by its CRC or
// the tally, damaged blocks by theirs, exchanged or missing blocks by labels,
// counts and the digest chain. The one thing that cannot be told from a crash
// is damage to the head's newest meta page: the state is then that of one
// transaction earlier.
//
// A page that can't be read, as opposed to one that reads wrong, is no damage:
// reads are tried again, and a write ends in ErrOutcomeUnknown, after which a
// new Open may get over it. bbolt reads its pages from a mapping, where an error
// of the disk is a fault; segment.go says how each is turned into an error.
//
// A damaged block whose header is sound can be restored: its stored bytes are
// made again by whoever knows where they came from, and taken only if they
// have the header's checksum. If the pages of a segment do not lead to its
// blocks any more, these are found in the file by their magic. Restored blocks
// are kept in the head, under restored, and are read only where the original
// is damaged; manifest and digest still decide whether the chunk is whole. A
// chunk that cannot be made whole is set aside as a whole (Bury), and so is
// every segment that not all of its blocks could be read from, for good.
//
// A head with damaged pages or state is refused. Salvage makes a new one, if
// all of the state can still be read; blocks that are missing then are damage
// as above. Otherwise nothing that is left says for certain how far files were
// read and what was shipped, and only a new spool can be started.
//
// A copied or restored state directory is known by its inode (and its device,
// within one boot). It takes a new queue id, under which its open chunks are
// numbered from 1; the numbers they had are missing in the old queue unless
// the original ships them.
package spool
