//go:build race

package engine

// Poison overwrites what was lent to a machine once it has returned, in programs
// that are built to find races: a machine that keeps it reads rubbish.
func Poison(b []byte) {
	for i := range b {
		b[i] = Poisoned
	}
}

// Poisons says that Poison does something.
const Poisons = true
