package main

import (
	"net/http"
	"slices"

	"github.com/lxzan/gws"
)

// gwsEvents handles the events of gws, which reads in a fresh goroutine for each
// connection.
type gwsEvents struct {
	gws.BuiltinEventHandler
	subscribers hub[*gws.Conn]
}

const gwsPath = "path" // in the session of a connection

func (e *gwsEvents) OnClose(c *gws.Conn, err error) { e.subscribers.remove(c) }

func (e *gwsEvents) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	path, _ := c.Session().Load(gwsPath)
	switch path {
	case "/feed":
	case "/publish":
		all := gws.NewBroadcaster(m.Opcode, slices.Clone(m.Bytes()))
		defer all.Close()
		for sub := range e.subscribers.each {
			all.Broadcast(sub)
		}
	default:
		c.WriteMessage(m.Opcode, m.Bytes())
	}
}

func (s *site) gws() http.Handler {
	events := &gwsEvents{}
	upgrader := gws.NewUpgrader(events, &gws.ServerOption{
		Authorize: func(r *http.Request, _ gws.SessionStorage) bool { return fromPage(r) },
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		c.Session().Store(gwsPath, r.URL.Path)
		if r.URL.Path == "/feed" {
			events.subscribers.add(c)
		}
		go c.ReadLoop() // ends with the connection; the handler's goroutine has a grown stack
	})
}
