package main

import (
	"context"
	"net/http"

	"github.com/centrifugal/centrifuge"
	"github.com/gorilla/websocket"
)

// centrifugeChannel is the channel to which everybody is subscribed.
const centrifugeChannel = "feed"

// centrifuge speaks a protocol of its own, with commands in JSON: an echo is a
// remote call.
func (s *site) centrifuge() error {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:    &centrifuge.Credentials{},
			PingPongConfig: &centrifuge.PingPongConfig{PingInterval: -1},
			Subscriptions:  map[string]centrifuge.SubscribeOptions{centrifugeChannel: {}},
		}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnRPC(func(e centrifuge.RPCEvent, reply centrifuge.RPCCallback) {
			reply(centrifuge.RPCReply{Data: e.Data}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{CheckOrigin: fromPage}))
	upgrader := websocket.Upgrader{CheckOrigin: fromPage}
	mux.HandleFunc("/publish", func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			_, message, err := c.ReadMessage()
			if err != nil {
				return
			}
			node.Publish(centrifugeChannel, message)
		}
	})
	return s.serve(mux)
}
