package app

import "github.com/sallyport/sallyport"

// Observe gives s an event as its door would.
func Observe(s *Server, e sallyport.Event) { s.observe(e) }

// Rename makes the hosts of s follow its certificates, as a poll does that finds new ones.
func Rename(s *Server) { s.rename() }
