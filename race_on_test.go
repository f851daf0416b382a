//go:build race

package sallyport_test

// underRace says that everything takes ten times as long.
const underRace = true
