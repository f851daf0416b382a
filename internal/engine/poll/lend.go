//go:build linux

package poll

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// crypto/tls keeps, for as long as a connection lives, the buffers in which it
// has read its largest record. The engine lends it a buffer for the time of an
// event instead. Where those fields are is asked of the type when the program
// starts; a crypto/tls that has no such fields keeps its own buffers.
//
// Only the goroutine of the event touches these fields, as crypto/tls does: it is
// the only one that reads the connection.
type layout struct{ raw, input, hand uintptr }

// findLayout looks for the fields by name and type.
func findLayout(conn reflect.Type) (l layout, ok bool) {
	buffer, reader := reflect.TypeFor[bytes.Buffer](), reflect.TypeFor[bytes.Reader]()
	for _, f := range []struct {
		name   string
		typ    reflect.Type
		offset *uintptr
	}{{"rawInput", buffer, &l.raw}, {"input", reader, &l.input}, {"hand", buffer, &l.hand}} {
		field, found := conn.FieldByName(f.name)
		if !found || field.Type != f.typ || len(field.Index) != 1 {
			return layout{}, false
		}
		*f.offset = field.Offset
	}
	return l, true
}

func (l *layout) rawOf(t *tls.Conn) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(t), l.raw))
}

func (l *layout) inputOf(t *tls.Conn) *bytes.Reader {
	return (*bytes.Reader)(unsafe.Add(unsafe.Pointer(t), l.input))
}

func (l *layout) handOf(t *tls.Conn) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(t), l.hand))
}

// lend has t read into b, behind what it holds of a record already, which is
// returned; ok is false if that does not fit.
func (l *layout) lend(t *tls.Conn, b []byte) (held []byte, ok bool) {
	raw := l.rawOf(t)
	held = raw.Bytes()
	if len(held) > len(b) {
		return nil, false // more than a record: never, and then t keeps its own
	}
	*raw = *bytes.NewBuffer(b[:copy(b, held)])
	return held, true
}

// reclaim takes back what was lent. t keeps a copy of the beginning of a record, if
// it has one, and nothing else; if that is what it held before, and more, the copy
// grows, so that a record that comes byte by byte costs no more than another. It
// reports whether what was lent may be lent again.
func (l *layout) reclaim(t *tls.Conn, held []byte) bool {
	if l.inputOf(t).Len() > 0 {
		return false // what was read still lies in there
	}
	*l.inputOf(t) = bytes.Reader{}
	raw := l.rawOf(t)
	switch rest := raw.Bytes(); {
	case len(rest) == 0:
		*raw = bytes.Buffer{}
	case len(held) > 0 && bytes.HasPrefix(rest, held):
		*raw = *bytes.NewBuffer(append(held, rest[len(held):]...))
	default:
		*raw = *bytes.NewBuffer(bytes.Clone(rest))
	}
	if hand := l.handOf(t); hand.Len() == 0 && hand.Cap() > 0 {
		*hand = bytes.Buffer{}
	}
	return true
}
