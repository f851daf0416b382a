package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// balancer sends new connections to the nodes that are ready, in turn. It passes
// TCP on, and reads the name in the first message of TLS: each client asks for a
// name of its own, by which the referee knows it.
type balancer struct {
	ledger   *ledger
	listener net.Listener
	stop     context.CancelFunc
	all      sync.WaitGroup

	mu    sync.Mutex // guards nodes and turn
	nodes []*node
	turn  int
}

// Times of the balancer.
const (
	askEvery  = 100 * time.Millisecond // /readyz
	helloWait = 10 * time.Second       // for the first message of TLS
	lastWait  = 5 * time.Second        // for the other direction, after one has ended
)

func balance(l *ledger) (*balancer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &balancer{ledger: l, listener: listener, stop: stop}
	b.all.Go(func() { b.ask(ctx) })
	b.all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			b.all.Go(func() { b.serve(ctx, c.(*net.TCPConn)) })
		}
	})
	return b, nil
}

func (b *balancer) port() int { return b.listener.Addr().(*net.TCPAddr).Port }

// close cuts everything and waits.
func (b *balancer) close() {
	b.stop()
	b.listener.Close()
	b.all.Wait()
}

// add brings a node in, in place of old unless that is nil.
func (b *balancer) add(n, old *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := make([]*node, 0, 2)
	for _, other := range b.nodes {
		if other != old {
			kept = append(kept, other)
		}
	}
	b.nodes = append(kept, n)
}

// ask looks which nodes are ready, as a load balancer does.
func (b *balancer) ask(ctx context.Context) {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		b.mu.Lock()
		nodes := b.nodes
		b.mu.Unlock()
		for _, n := range nodes {
			n.ready.Store(isReady(ctx, n.health))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func isReady(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// next is the node whose turn it is, nil if none is ready.
func (b *balancer) next() *node {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.nodes {
		b.turn++
		if n := b.nodes[b.turn%len(b.nodes)]; n.ready.Load() {
			return n
		}
	}
	return nil
}

func (b *balancer) serve(ctx context.Context, client *net.TCPConn) {
	defer client.Close()
	client.SetDeadline(time.Now().Add(helloWait))
	name, hello, err := firstMessage(client)
	if err != nil {
		return
	}
	client.SetDeadline(time.Time{})
	n := b.next()
	if n == nil {
		return
	}
	name, _, _ = strings.Cut(name, ".")
	s := b.ledger.attempt(name, n)
	gone := func() { b.ledger.ended(name, s, time.Now()) }
	defer gone()
	other, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", n.listen)
	if err != nil {
		n.ready.Store(false)
		return
	}
	server := other.(*net.TCPConn)
	defer server.Close()
	if _, err := server.Write(hello); err != nil {
		return
	}
	cut := context.AfterFunc(ctx, func() {
		client.Close()
		server.Close()
	})
	defer cut()
	join(client, server, gone)
}

// join copies both ways until both have ended. gone is told of the first end,
// before the other side can know of it.
func join(a, b *net.TCPConn, gone func()) {
	var failed atomic.Bool
	var both sync.WaitGroup
	pass := func(to, from *net.TCPConn) {
		_, err := io.Copy(to, from)
		gone()
		if err != nil {
			failed.Store(true)
		}
		to.CloseWrite()
		soon := time.Now().Add(lastWait)
		to.SetDeadline(soon)
		from.SetDeadline(soon)
		if failed.Load() { // a reset is passed on as one
			a.SetLinger(0)
			b.SetLinger(0)
			a.Close()
			b.Close()
		}
	}
	both.Go(func() { pass(a, b) })
	both.Go(func() { pass(b, a) })
	both.Wait()
}

var errSeen = errors.New("seen")

// firstMessage reads the ClientHello: the name asked for, and the bytes.
func firstMessage(c net.Conn) (name string, seen []byte, err error) {
	var buffer bytes.Buffer
	listen := tls.Server(ears{c, io.TeeReader(c, &buffer)}, &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name = hello.ServerName
			return nil, errSeen
		},
	})
	if err := listen.Handshake(); !errors.Is(err, errSeen) {
		return "", nil, err
	}
	return name, buffer.Bytes(), nil
}

// ears hears a connection and says nothing.
type ears struct {
	net.Conn
	reader io.Reader
}

func (e ears) Read(b []byte) (int, error)  { return e.reader.Read(b) }
func (e ears) Write(b []byte) (int, error) { return len(b), nil }
