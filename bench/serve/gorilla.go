package main

import (
	"log"
	"net/http"

	"github.com/gorilla/websocket"
)

// gorilla is a goroutine for each connection, and prepared messages for many.
func (s *site) gorilla() http.Handler {
	upgrader := websocket.Upgrader{CheckOrigin: fromPage}
	admit := s.bearer()
	subscribers := &hub[*websocket.Conn]{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !admit(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		switch r.URL.Path {
		case "/feed":
			subscribers.add(c)
			defer subscribers.remove(c)
			for {
				if _, _, err := c.NextReader(); err != nil {
					return
				}
			}
		case "/publish":
			for {
				kind, message, err := c.ReadMessage()
				if err != nil {
					return
				}
				prepared, err := websocket.NewPreparedMessage(kind, message)
				if err != nil {
					log.Print(err)
					return
				}
				for sub := range subscribers.each {
					sub.WritePreparedMessage(prepared)
				}
			}
		default:
			for {
				kind, message, err := c.ReadMessage()
				if err != nil || c.WriteMessage(kind, message) != nil {
					return
				}
			}
		}
	})
}
