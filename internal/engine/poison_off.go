//go:build !race

package engine

// Poison overwrites what was lent to a machine once it has returned, in programs
// that are built to find races; in this one it does nothing.
func Poison([]byte) {}

// Poisons says that Poison does something.
const Poisons = false
