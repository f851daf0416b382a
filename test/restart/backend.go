package main

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// backend writes every message into the ledger and answers it with its number.
type backend struct {
	ledger   *ledger
	server   *http.Server
	listener net.Listener
	serving  sync.WaitGroup
}

// userHeader is how the door tells who is connected.
const userHeader = "X-Forwarded-User"

// upgrader lets in whoever the door sends.
var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func record(l *ledger) (*backend, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &backend{ledger: l, listener: listener}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	b.serving.Go(func() { b.server.Serve(listener) })
	return b, nil
}

func (b *backend) close() {
	b.server.Close()
	b.serving.Wait()
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.Header.Get(userHeader)
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	b.ledger.arrived(name, time.Now())
	for {
		_, data, err := c.ReadMessage() // the door ends what has ended
		if err != nil {
			return
		}
		number, err := read(name, string(data))
		if err != nil {
			b.ledger.complain(err.Error())
			return
		}
		b.ledger.heardFrom(name, number)
		// It may fail, if the client is gone: what it had sent is still read.
		c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		c.WriteMessage(websocket.TextMessage, strconv.AppendInt(nil, int64(number), 10))
	}
}

// complain notes a fault that is not about one connection.
func (l *ledger) complain(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault("%s", what)
}

// write is a message of a client, read what the backend makes of it.
func write(name string, number int) string { return name + " " + strconv.Itoa(number) }

func read(name, text string) (int, error) {
	who, rest, _ := strings.Cut(text, " ")
	number, err := strconv.Atoi(rest)
	if err != nil || who != name {
		return 0, errors.New("a message of " + who + " came over the connection of " + name)
	}
	return number, nil
}
