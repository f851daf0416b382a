//go:build linux

package poll

import (
	"crypto/tls"
	"reflect"
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
