package app

import "github.com/sallyport/sallyport"

// Observe gives s an event as its door would.
func Observe(s *Server, e sallyport.Event) { s.observe(e) }
