package sallyport_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// A server behind that cleans, decodes, cuts or lower-cases a path must not
// find itself behind another gate than the one whose policy was asked.
func TestPathsThatLeaveTheirGate_SR87_AT89(t *testing.T) {
	tests := map[string]int{
		"/public/x":                101,
		"/public/":                 101,
		"/public/a%2fb":            101,
		"/public/A;v=1/b":          101,
		"/public//b":               101,
		"/public/x/../y":           101,
		"/public/../admin/x":       400,
		"/public/%2e%2e/admin/x":   400,
		"/public/..;/admin/x":      400,
		"/public/%252e%252e/admin": 400,
		`/public/..\admin/x`:       400,
		"/public/../elsewhere":     400,
		"/public/../sallyport/x":   400,
		"/public/inner/":           400, // /public/inner is a gate of its own
		"/public/Inner":            400,
		"/Upper/x":                 101,
		"/Upper/../admin/x":        400,
	}
	for path, want := range tests {
		t.Run("SR-87 AT-89 "+path, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) {
				everybody := auth.Anonymous("a test")
				c.Gates = []sallyport.Gate{
					{Path: "/public/", Route: echo, Auth: everybody}, {Path: "/admin/", Route: echo},
					{Path: "/public/inner", Route: echo}, {Path: "/Upper/", Route: echo, Auth: everybody},
				}
			}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				if got := s.Try(t, sallyporttest.Options{Path: path}).Response.StatusCode; got != want {
					t.Errorf("got %d, want %d", got, want)
				}
			})
		})
	}
}

// Messages without a byte fill the queue before a stuck handler too.
func TestEmptyMessagesFillTheInbox_SR71_SR75(t *testing.T) {
	stuck := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		<-ctx.Done()
		return nil
	})
	bubble(t, func(c *sallyport.Config) {
		c.Gates[0].Route, c.Guard = stuck, guard.Config{Messages: 1_000_000, RouteWait: 10 * time.Second}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		done := flood(c, ws.AppendFrame(nil, ws.Client, true, ws.Binary, nil), time.Millisecond)
		wantReason(t, c, deny.RouteStuck)
		<-done
	})
}

// What is remembered of a refusal is small, whatever was sent.
func TestRefusalsRememberLittle_SR73_SR75(t *testing.T) {
	door, err := sallyport.New(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	var asked sync.WaitGroup
	asked.Add(64)
	s := sallyporttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer asked.Done()
		door.ServeHTTP(w, r)
	}))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			c := s.Try(t, sallyporttest.Options{Path: "/ws", Origin: fmt.Sprintf("https://%d.example/%s", i, strings.Repeat("x", 512<<10))})
			c.Socket().Close()
		})
	}
	wg.Wait()
	asked.Wait()
	s.Close()
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("64 refusals hold %d KiB", grown>>10)
	}
	runtime.KeepAlive(door)
}
