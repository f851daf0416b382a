package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport/sallyport/auth/jwt"
)

var update = flag.Bool("update", false, "write what the scripts compare with")

// TestMain makes the test binary the program, and a client to try it with.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": main, "wsclient": wsclient})
}

// TestScripts runs testdata/script/*.txtar. Each has a backend of its own at
// $BACKEND, with $ME saying who is signed in, free ports $PUBLIC, $HEALTH and
// $ADMIN, a key set jwks.json, and $TOKEN for alice by it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":   ready,
			"code":    code,
			"expand":  expand,
			"waitfor": waitfor,
		},
	})
}

func setup(env *testscript.Env) error {
	b := httptest.NewServer(http.HandlerFunc(serveBackend))
	env.Defer(b.Close)
	signer, err := jwt.NewSigner()
	if err != nil {
		return err
	}
	if err := os.WriteFile(env.Cd+"/jwks.json", signer.JWKS(), 0o600); err != nil {
		return err
	}
	now := time.Now()
	token, err := signer.Sign(jwt.TypeAccess, map[string]any{
		"iss": "https://idp.example.com", "aud": "chat", "sub": "alice", "jti": "id-alice", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		return err
	}
	env.Setenv("BACKEND", "ws"+strings.TrimPrefix(b.URL, "http"))
	env.Setenv("ME", b.URL+"/me")
	env.Setenv("TOKEN", token)
	env.Setenv("GORACE", "atexit_sleep_ms=10") // else every command of a race build takes a second more
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_STATE_HOME", env.WorkDir+"/xdg")
	for _, name := range []string{"PUBLIC", "HEALTH", "ADMIN"} {
		address, err := freePort()
		if err != nil {
			return err
		}
		env.Setenv(name, address)
	}
	return nil
}

// freePort is an address on which nobody listens at the moment.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func serveBackend(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/me" {
		if c, err := r.Cookie("who"); err == nil {
			json.NewEncoder(w).Encode(map[string]string{"sub": c.Value})
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, data, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, data) != nil {
			return
		}
	}
}

// ready waits until a server's health listener, or with ! nobody, says so.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: ready address")
	}
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + args[0] + "/readyz")
		up := false
		if err == nil {
			resp.Body.Close()
			up = resp.StatusCode == http.StatusOK
		}
		if up != neg {
			return
		}
	}
	ts.Fatalf("%s is ready: %v", args[0], neg)
}

// code runs a command that must exit with a certain code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code n command [arguments]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		exit, ok := errors.AsType[interface {
			error
			ExitCode() int
		}](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit %d, want %s\n%s", got, args[0], ts.ReadFile("stderr"))
	}
}

// expand replaces $NAME in a file.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expand file")
	}
	name := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(name, []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// waitfor waits until so many connections are open.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor connections")
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + ts.Getenv("HEALTH") + "/metrics")
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(text), "sallyport_connections{transport=\"websocket\"} "+args[0]+"\n") {
			return
		}
	}
	ts.Fatalf("there are no %s connections", args[0])
}

// wsclient makes a handshake, prints what became of it, and what ended it:
//
//	wsclient [-origin o] [-cookie c] [-bearer t] [-ticket t] [-ca file] [-hold] wss://host/path
func wsclient() {
	origin := flag.String("origin", "", "")
	cookie := flag.String("cookie", "", "")
	bearer := flag.String("bearer", "", "")
	ticket := flag.String("ticket", "", "")
	ca := flag.String("ca", "", "")
	hold := flag.Bool("hold", false, "")
	flag.Parse()
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(*ca)
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		fmt.Fprintln(os.Stderr, "no authority:", err)
		os.Exit(1)
	}
	d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: roots}, HandshakeTimeout: 10 * time.Second}
	if *ticket != "" {
		d.Subprotocols = []string{*ticket, "sallyport"}
	}
	h := http.Header{}
	for name, value := range map[string]string{"Origin": *origin, "Cookie": *cookie} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if *bearer == "-" {
		data, _ := io.ReadAll(os.Stdin)
		*bearer = strings.TrimSpace(string(data))
	}
	if *bearer != "" {
		h.Set("Authorization", "Bearer "+*bearer)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, resp, err := d.DialContext(ctx, flag.Arg(0), h)
	if err != nil {
		fmt.Println("failed:", err)
		if resp != nil {
			body, _ := io.ReadAll(resp.Body)
			fmt.Printf("%s %s", resp.Status, body)
		}
		return
	}
	defer c.Close()
	_ = c.WriteMessage(websocket.TextMessage, []byte("hello"))
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		_, data, err := c.ReadMessage()
		if err != nil {
			fmt.Println("closed:", err)
			return
		}
		fmt.Printf("received: %s\n", data)
		if !*hold {
			return
		}
	}
}
