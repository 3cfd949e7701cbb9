// Package rotation is a model of the question that rotations pose: which bytes of a
// file were read before, in another file. It has no production code; its tests check
// what can be known at all, and a decision, in every small world.
//
// # The world
//
// A directory in memory has a log at home, two archives and their compressed copies.
// Inodes have numbers that are used again, births or none, and modification times.
// Writers hold descriptors. An operation is a letter:
//
//	a e    append a line that no other is like, or one that is written again and again
//	l E    the same, by a writer that has not noticed the last rotation
//	r n p  rename the log and begin anew; remove it and begin anew; replace it by its copy
//	c k t  copy it to an archive; the first half of that; truncate it
//	w A g  write it over its archive; append it to the archive; compress it to one
//	z      compress an archive: begin, complete and set the time, remove the original
//	d H    delete the oldest archive; truncate under a writer that goes on at its offset
//	u U    make the archive or the log unreadable, or readable
//	s . :  restart the agent; a scan; a scan after a long time
//
// A kill needs no letter: what was not durable was not done, so a history with a kill
// is one without the scans before it, and a restart.
//
// # The check
//
// Every line that a scan could have read has to be read once. All histories up to a
// length are tried, each with scans at its end when all can be read and time passes. For
// each that fails, a twin is looked for: another history that shows every scan the same,
// up to the one at which the line went wrong, and that the same decisions serve well. No
// agent can be right in both. Inode numbers, names, sizes, contents and the order of
// times are what scans see.
//
// # The decision
//
// A file is an incarnation: an inode between two times that it was rewritten. Each has
// a prefix that is accounted for: read, or proved to be a copy. What lies intact is read
// on, whatever is beside it. An unknown candidate is judged after everything of less age,
// since sources have younger names than copies. Its bytes are skipped if they are those
// of a file that it can be a copy of: in time, by name and owner. Of few bytes this needs
// more: who replaced whom at home, and whether a copy would have had more by then.
// A file that is gone is carried on by one candidate only.
package rotation
