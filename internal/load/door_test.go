package load

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/sallyporttest"
)

// The load against a real door.

const trusted = "https://app.example.com"

var echo = sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) { c.Post(m) })

func newDoor(t *testing.T, route sallyport.Route, change func(*sallyport.Config)) *sallyport.Door {
	t.Helper()
	c := sallyport.Config{
		Origin: origin.Config{Trusted: []string{trusted}, Hosts: []string{"app.example.com", "127.0.0.1"}},
		Auth:   auth.Anonymous("the tests of a load"),
		Guard:  guard.Config{Messages: 10_000, Bytes: 64 << 20, MaxMessage: 1 << 20},
		Gates:  []sallyport.Gate{{Path: "/ws", Route: route}},
	}
	if change != nil {
		change(&c)
	}
	door, err := sallyport.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return door
}

func drain(t *testing.T, door *sallyport.Door) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := door.Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
}

// config is a small load: ten connections, which send a message every 200 ms.
func config(change func(*Config)) Config {
	c := Config{
		URL: "ws://127.0.0.1/ws", Connections: 10, Rate: 5, Size: 64, Ramp: 100, Handshakes: 10,
		Warmup: time.Second, Duration: 10 * time.Second, Resume: true,
		Header: http.Header{"Origin": {trusted}}, sleep: time.Sleep,
	}
	if change != nil {
		change(&c)
	}
	return c
}

// inMemory runs a load against a door in memory, where time is free.
func inMemory(t *testing.T, route sallyport.Route, change func(*Config), door func(*sallyport.Config), look func(t *testing.T, r *Result, err error)) {
	t.Helper()
	withDoor(t, route, door, func(t *testing.T, ctx context.Context, _ *sallyport.Door, c Config) {
		if change != nil {
			change(&c)
		}
		r, err := Run(ctx, c)
		look(t, r, err)
	})
}

func withDoor(t *testing.T, route sallyport.Route, change func(*sallyport.Config), f func(t *testing.T, ctx context.Context, door *sallyport.Door, c Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		door := newDoor(t, route, change)
		server := sallyporttest.Serve(t, door)
		f(t, context.Background(), door, config(func(c *Config) {
			c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return server.Dial(ctx) }
		}))
		drain(t, door)
		server.Close()
	})
}

// want compares numbers by their names.
func want(t *testing.T, rows map[string][2]int) {
	t.Helper()
	for name, row := range rows {
		if row[0] != row[1] {
			t.Errorf("%s: got %d, want %d", name, row[0], row[1])
		}
	}
}
