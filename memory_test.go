//go:build linux && amd64

package sallyport

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/engine/poll"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/wss"
)

var updateMemory = flag.Bool("update-memory", false, "write docs/MEMORY.md")

// memoryBudget is what our own part of an idle connection may take, in bytes, and
// what a second leg to a backend adds. Whoever adds a field pays for it here.
const (
	memoryBudget    = 1600
	memoryBudgetLeg = 640
)

// nobody is a machine that nothing happens to.
type nobody struct{}

func (nobody) Readable(b []byte) (int, bool) { return len(b), true }
func (nobody) Gone(error)                    {}
func (nobody) Flush()                        {}
func (nobody) Late()                         {}

// polledConn is the engine's type for a connection, which it does not export.
func polledConn(t *testing.T) reflect.Type {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	e := new(poll.Engine)
	var h engine.Handle
	if h, err = e.Take(c, nobody{}); err != nil {
		t.Fatal(err)
	}
	h.Socket().Close()
	h.Start(nil)
	e.Wait()
	return reflect.TypeOf(h).Field(0).Type.Elem()
}

// TestMemoryBudget compares docs/MEMORY.md with the sizes of what a connection
// holds, and those with the budget.
func TestMemoryBudget(t *testing.T) {
	socket, ok := reflect.TypeFor[wss.Conn]().FieldByName("sock")
	if !ok {
		t.Fatal("wss.Conn has no sock")
	}
	of := polledConn(t)
	ours := []struct {
		name string
		of   reflect.Type
		legs int // how many a relayed connection has
	}{
		{"sallyport.Conn", reflect.TypeFor[Conn](), 1},
		{"auth.Identity", reflect.TypeFor[auth.Identity](), 1},
		{"guard.Place", reflect.TypeFor[guard.Place](), 1},
		{"link.Link", reflect.TypeFor[link.Link](), 2},
		{"poll.conn", of, 2},
		{"wss.socket", socket.Type.Elem(), 1},
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# What an idle connection holds

Bytes on linux/amd64, as the Go allocator rounds them. A test compares this page with the types (go test -run TestMemoryBudget . -update-memory
writes it) and fails when our part is more than %d bytes, or %d for the second leg of a relayed connection. What all of it comes to in a
running process, kernel and garbage included, is measured: [PERFORMANCE.md](PERFORMANCE.md).

Not ours, and not to be had for less with the standard library: crypto/tls keeps %d bytes for the connection itself, two AES-GCM states of 896
bytes, and some 250 bytes of secrets. The kernel takes 3.9 KB for each socket. Strings (subject, session, origin, host) come on top; none of them
holds on to the request that it came in.

`, memoryBudget, memoryBudgetLeg, sizeClass(int(reflect.TypeFor[tls.Conn]().Size())))
	total, leg := 0, 0
	fmt.Fprintf(&b, "| type | bytes | a relayed connection has |\n|---|---:|---:|\n")
	for _, o := range ours {
		size := sizeClass(int(o.of.Size()))
		total += size
		leg += size * (o.legs - 1)
		fmt.Fprintf(&b, "| %s | %d | %d |\n", o.name, size, o.legs)
	}
	fmt.Fprintf(&b, "| **together** | **%d** | %d more for the second leg |\n", total, leg)
	for _, o := range ours {
		fmt.Fprintf(&b, "\n## %s\n\n| field | bytes |\n|---|---:|\n", o.name)
		for f := range o.of.Fields() {
			fmt.Fprintf(&b, "| %s | %d |\n", f.Name, f.Type.Size())
		}
	}
	if total > memoryBudget {
		t.Errorf("our part of an idle connection is %d bytes, the budget is %d", total, memoryBudget)
	}
	if leg > memoryBudgetLeg {
		t.Errorf("our part of a leg is %d bytes, the budget is %d", leg, memoryBudgetLeg)
	}
	if *updateMemory {
		if err := os.WriteFile("docs/MEMORY.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile("docs/MEMORY.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != b.String() {
		t.Error("docs/MEMORY.md is out of date: go test -run TestMemoryBudget . -update-memory")
	}
}

// sizeClass is what the allocator gives for an object of so many bytes.
func sizeClass(n int) int { return cap(append([]byte(nil), make([]byte, n)...)) }
