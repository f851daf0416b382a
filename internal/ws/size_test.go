package ws

import (
	"testing"
	"unsafe"
)

// A parser is paid for by every idle connection, twice by a relayed one.
func TestParserIsSmall_SR53(t *testing.T) {
	if got := unsafe.Sizeof(Parser{}); got > 72 {
		t.Errorf("a Parser has %d bytes, want at most 72", got)
	}
}
