//go:build !unix

package load

// MostConnections is how many connections the process may open; unknown here.
func MostConnections() int { return 0 }
