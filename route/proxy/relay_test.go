package proxy

import (
	"bytes"
	"testing"

	"github.com/sallyport/sallyport/internal/ws"
)

func TestMessagesPassBothWays(t *testing.T) {
	for _, stream := range []bool{false, true} {
		f := backendAt(t, echo(t))
		s := &setup{proxy: Config{To: "ws://" + f.addr, Stream: stream}}
		_, addr := s.start(t)
		c := connect(t, addr)
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		for _, m := range []struct {
			op   ws.Opcode
			data []byte
		}{
			{ws.Text, []byte("hällo")}, {ws.Binary, []byte{0, 1, 2}}, {ws.Text, nil}, {ws.Binary, big}, {ws.Text, big},
		} {
			go c.send(m.op, m.data)
			c.wantMessage(m.op, m.data)
		}
		c.close(1000, "bye")
		c.wantClose(1000, "")
	}
}
