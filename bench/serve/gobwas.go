package main

import (
	"crypto/tls"
	"net"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/sallyport/sallyport/bench/wire"
)

// gobwas upgrades without net/http, as its documentation recommends, with a
// goroutine for each connection.
func (s *site) gobwas() error {
	config, err := s.tls()
	if err != nil {
		return err
	}
	subscribers := &hub[net.Conn]{}
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return err
		}
		go func() { // ends with the connection
			c := tls.Server(raw, config)
			defer c.Close()
			var path string
			good := false
			upgrader := ws.Upgrader{
				OnRequest: func(uri []byte) error { path = string(uri); return nil },
				OnHeader: func(key, value []byte) error {
					good = good || string(key) == "Origin" && string(value) == "https://"+wire.Host
					return nil
				},
				OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
					if !good {
						return nil, ws.RejectConnectionError(ws.RejectionStatus(403))
					}
					return nil, nil
				},
			}
			if _, err := upgrader.Upgrade(c); err == nil {
				gobwasServe(c, path, subscribers)
			}
		}()
	}
}

func gobwasServe(c net.Conn, path string, subscribers *hub[net.Conn]) {
	if path == "/feed" {
		subscribers.add(c)
		defer subscribers.remove(c)
	}
	for {
		message, op, err := wsutil.ReadClientData(c)
		if err != nil {
			return
		}
		if path == "/feed" {
			continue
		}
		frame, err := ws.CompileFrame(ws.NewFrame(op, true, message)) // one write, where its helpers make two
		if err != nil {
			return
		}
		if path != "/publish" {
			if _, err := c.Write(frame); err != nil {
				return
			}
			continue
		}
		for sub := range subscribers.each {
			sub.Write(frame)
		}
	}
}
