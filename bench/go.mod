// Benchmarks, in a module of their own: nothing of the door depends on them.
module github.com/sallyport/sallyport/bench

go 1.26.0

require github.com/sallyport/sallyport v0.0.0

require golang.org/x/net v0.62.0 // indirect

replace github.com/sallyport/sallyport => ..
