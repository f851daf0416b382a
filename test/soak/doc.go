// Package soak proves that connections leave nothing behind.
//
// A connection can end in many ways, and the ways that nobody tries are where
// goroutines, descriptors and memory leak until the server dies (AT-54). Here a
// door behind the TLS listener relays to a backend, all over loopback, while
// clients are refused for every kind of reason and, once admitted, end in every
// kind of way. Afterwards goroutines, file descriptors and the heap must be what
// they were after a warm-up.
//
// The small run is part of every test run. The large one, of 10,000 refused and
// 10,000 admitted connections, is `make soak-counted`; it takes some minutes. Both
// run on each engine, and need Linux: its loopback network for many client
// addresses, and /proc to count. What processes of their own hold after hours is
// for the command in long, which is `make soak`.
package soak
