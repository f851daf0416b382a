package app

import (
	"fmt"

	"github.com/sallyport/sallyport"
)

// engines are the words of the configuration.
var engines = map[string]sallyport.Engine{"auto": sallyport.EngineAuto, "portable": sallyport.EnginePortable}

// Engine is what feeds the connections of a server.
type Engine struct {
	Name  string // "poll" or "portable"
	Lends bool   // crypto/tls is lent its buffers; only poll does so
	Late  int64  // events that kept others waiting for more than 20 ms
}

func (s *Server) engine() Engine { return engineOf(s.door.Load().Engines()) }

func engineOf(e sallyport.EngineStats) Engine {
	name := "poll"
	if e.Engine == sallyport.EnginePortable {
		name = "portable"
	}
	return Engine{Name: name, Lends: e.Lends, Late: e.Late}
}

// warning is a sentence if connections cost more than they should. It is no
// weakness of the door, and so no warning of the configuration.
func (e Engine) warning(goVersion string) string {
	if e.Name != "poll" || e.Lends {
		return ""
	}
	return fmt.Sprintf("engine: the buffers of crypto/tls are not where this version knows them (it was built with %s), so they are not lent:"+
		" an idle connection costs 6 KB more, and 20 KB after a message of 16 KiB; all else is as before", goVersion)
}
