package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"github.com/sallyport/sallyport/bench/wire"
)

// coder is a goroutine for each connection.
func (s *site) coder() http.Handler {
	options := &websocket.AcceptOptions{OriginPatterns: []string{wire.Host}, CompressionMode: websocket.CompressionDisabled}
	subscribers := &hub[*websocket.Conn]{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, options)
		if err != nil {
			return
		}
		c.SetReadLimit(64 << 10)
		defer c.CloseNow()
		ctx := context.Background() // that of a hijacked request ends
		switch r.URL.Path {
		case "/feed":
			subscribers.add(c)
			defer subscribers.remove(c)
			for {
				if _, _, err := c.Reader(ctx); err != nil {
					return
				}
			}
		case "/publish":
			for {
				kind, message, err := c.Read(ctx)
				if err != nil {
					return
				}
				for sub := range subscribers.each {
					sub.Write(ctx, kind, message)
				}
			}
		default:
			for {
				kind, message, err := c.Read(ctx)
				if err != nil || c.Write(ctx, kind, message) != nil {
					return
				}
			}
		}
	})
}
