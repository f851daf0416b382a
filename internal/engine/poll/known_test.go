//go:build linux

package poll

import (
	"crypto/tls"
	"net"
	"reflect"
	"runtime"
	"testing"
)

func TestThisGoIsKnown(t *testing.T) {
	l, ok := findLayout(reflect.TypeFor[tls.Conn]())
	if !ok {
		t.Fatal("crypto/tls has other fields than are known: look at lend.go")
	}
	for range 20 {
		if !l.works() {
			t.Fatal("lending does not work with this crypto/tls: look at known.go")
		}
	}
}

// TestARecordThatDribblesCostsNoMore: what is kept of it is not copied anew for each
// byte that comes.
func TestARecordThatDribblesCostsNoMore_AT51(t *testing.T) {
	l := known()
	if l == nil {
		t.Fatal("this crypto/tls is not known")
	}
	near, far := net.Pipe()
	server, client, err := pair(&tape{Conn: near}, far)
	if err != nil {
		t.Fatal(err)
	}
	go client.Write(make([]byte, 16<<10)) // ends with the pipe
	record := make([]byte, 5+16<<10+1+16)
	for n := 0; n < len(record); {
		k, err := near.Read(record[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	transport := server.NetConn().(*tape)
	transport.played = true
	lent, got, n := make([]byte, rawSize), make([]byte, 16<<10), 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range record {
		transport.next = record[i : i+1]
		held, ok := l.lend(server, lent)
		if !ok {
			t.Fatal("a part of a record does not fit")
		}
		n, err = server.Read(got)
		if last := i == len(record)-1; last != (err == nil) {
			t.Fatal(i, err)
		}
		if !l.reclaim(server, held) {
			t.Fatal("something is left")
		}
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; n != 16<<10 || taken > 4<<20 {
		t.Errorf("%d bytes were allocated for a record of %d", taken, n)
	}
	near.Close()
	far.Close()
}
