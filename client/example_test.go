package client_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
)

// serve stands for the server of an example: it admits whoever says a name, and
// sends everything back.
func serve() (url string, o client.Options, door *sallyport.Door, stop func()) {
	door, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"127.0.0.1"}, Without: origin.AllowBearer},
		Auth:   auth.First(named{}),
		Gates:  []sallyport.Gate{{Path: "/chat", Route: echo}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewTLSServer(door)
	o = client.Options{
		TLS:   &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs},
		Token: func(context.Context, client.Why) (string, error) { return "ada", nil },
	}
	return "wss" + strings.TrimPrefix(server.URL, "https") + "/chat", o, door, func() {
		door.Drain(context.Background())
		server.Close()
	}
}

// One connection, which never reconnects.
func ExampleDial() {
	url, o, _, stop := serve()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c, err := client.Dial(ctx, url, &o)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	fmt.Println("at most", c.Limits().MaxMessage, "bytes")

	if err := c.Send(ctx, client.Message{Kind: client.Text, Data: []byte("hello")}); err != nil {
		log.Fatal(err)
	}
	m, err := c.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", m.Kind, m.Data)
	// Output:
	// at most 65536 bytes
	// text: hello
}

// Who is not let in learns why.
func ExampleDial_refused() {
	url, o, _, stop := serve()
	defer stop()
	o.Token = func(context.Context, client.Why) (string, error) { return "mallory", nil }

	_, err := client.Dial(context.Background(), url, &o)
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		fmt.Println(refused.Reason, "-", refused.Reason.Sentence())
		fmt.Println("sign in again:", refused.Reason.Client() == deny.Reauth)
	}
	// Output:
	// auth.invalid - The credential is not valid here.
	// sign in again: true
}

// A client that stays connected, until nobody is signed in any more.
func ExampleNew() {
	url, o, door, stop := serve()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	signedIn := true
	o.Token = func(_ context.Context, why client.Why) (string, error) {
		if !signedIn {
			return "", fmt.Errorf("no session: %w", client.ErrUnauthenticated)
		}
		return "ada", nil
	}
	o.OnUnknown = func(lost []client.Message) { fmt.Println(len(lost), "messages may not have arrived") }

	c, err := client.New(url, o)
	if err != nil {
		log.Fatal(err) // all mistakes at once
	}
	defer c.Close(context.Background())
	if err := c.Send(ctx, client.Message{Kind: client.Text, Data: []byte("hello")}); err != nil {
		log.Fatal(err)
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			fmt.Println("sign in:", errors.Is(err, client.ErrUnauthenticated))
			break
		}
		fmt.Printf("%s\n", m.Data)
		signedIn = false
		door.Revoke(ctx, guard.Match{Issuer: "test", Subject: "ada"})
	}
	fmt.Println(c.State().Status)
	// Output:
	// hello
	// sign in: true
	// ended
}

// A stream of lines over messages, for what was written for TCP.
func ExampleNetConn() {
	url, o, _, stop := serve()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, url, &o)
	if err != nil {
		log.Fatal(err)
	}
	stream := client.NetConn(ctx, c, client.Binary)
	defer stream.Close()
	stream.SetDeadline(time.Now().Add(10 * time.Second))

	fmt.Fprintf(stream, "first line\nsecond ")
	fmt.Fprintf(stream, "line\n")
	lines := bufio.NewScanner(stream)
	for range 2 {
		lines.Scan()
		fmt.Println(lines.Text())
	}
	// Output:
	// first line
	// second line
}
