//go:build !unix

package config

import "os"

// Who may read or write cannot be told from a mode on systems without one; access lists
// are the operator's care there.
func worldReadable(os.FileInfo) bool { return false }

func worldWritable(os.FileInfo) bool { return false }
