//go:build unix

package config

import "os"

// worldReadable reports whether accounts that are neither the owner nor of the
// group may read or write the file.
func worldReadable(info os.FileInfo) bool { return info.Mode().Perm()&0o006 != 0 }

// worldWritable reports whether they may write it.
func worldWritable(info os.FileInfo) bool { return info.Mode().Perm()&0o002 != 0 }
