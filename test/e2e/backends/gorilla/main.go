// Command gorilla is an echo server made of gorilla/websocket as its
// documentation shows it: one of the unchanged backends that the end-to-end
// tests put behind the door.
//
// It prints one JSON object a line about what it sees, the first being the
// address it listens on. Two texts are orders: "cmd:close CODE REASON" and
// "cmd:ping DATA", answered by "pong DATA" once the pong has come.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

var out struct {
	sync.Mutex
	*json.Encoder
}

func tell(v map[string]any) {
	out.Lock()
	defer out.Unlock()
	out.Encode(v)
}

var upgrader = websocket.Upgrader{
	Subprotocols: []string{"chat.v2", "chat.v1"},
	CheckOrigin:  func(*http.Request) bool { return true }, // the door's business
}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	tell(map[string]any{"event": "open", "path": r.URL.Path, "protocol": c.Subprotocol()})
	c.SetPongHandler(func(data string) error {
		return c.WriteMessage(websocket.TextMessage, []byte("pong "+data))
	})
	for {
		kind, data, err := c.ReadMessage()
		if err != nil {
			code, reason := websocket.CloseAbnormalClosure, ""
			if ce, ok := err.(*websocket.CloseError); ok {
				code, reason = ce.Code, ce.Text
			}
			tell(map[string]any{"event": "closed", "code": code, "reason": reason})
			return
		}
		order, ok := strings.CutPrefix(string(data), "cmd:")
		switch {
		case ok && strings.HasPrefix(order, "close "):
			var code int
			var reason string
			fmt.Sscanf(order, "close %d %s", &code, &reason)
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
		case ok && strings.HasPrefix(order, "ping "):
			c.WriteControl(websocket.PingMessage, []byte(order[len("ping "):]), time.Now().Add(time.Second))
		default:
			if c.WriteMessage(kind, data) != nil {
				return
			}
		}
	}
}

func main() {
	out.Encoder = json.NewEncoder(os.Stdout)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	tell(map[string]any{"event": "listening", "port": l.Addr().(*net.TCPAddr).Port})
	log.Fatal((&http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 5 * time.Second}).Serve(l))
}
