// Command go-client talks through a door: it sends the lines of its input and
// prints the messages that come.
//
//	go-client -ca dev-ca.pem -token FILE wss://localhost:8443/chat
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
)

func main() {
	ca := flag.String("ca", "", "`file` of the authority to trust, in place of those of the system")
	token := flag.String("token", "", "`file` with a bearer token; it is read for every connection")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Arg(0), *ca, *token); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, ca, token string) error {
	roots, err := trust(ca)
	if err != nil {
		return err
	}
	c, err := client.New(url, client.Options{
		TLS: &tls.Config{RootCAs: roots},
		Token: func(context.Context, client.Why) (string, error) {
			b, err := os.ReadFile(token)
			return string(bytes.TrimSpace(b)), err
		},
		OnState: func(s client.State) { log.Printf("[%s]", s.Status) },
		OnUnknown: func(messages []client.Message) {
			for _, m := range messages {
				log.Printf("sent, and perhaps not received: %s", m.Data)
			}
		},
	})
	if err != nil {
		return err // all mistakes at once
	}

	var printing sync.WaitGroup
	printing.Go(func() { // ends with the client, which is closed below
		for m, err := range c.Messages(context.Background()) {
			if err != nil {
				log.Print(err)
				return
			}
			fmt.Printf("%s\n", m.Data)
		}
	})
	err = c.Connect(ctx)
	for in := bufio.NewScanner(os.Stdin); err == nil && in.Scan(); {
		err = c.Send(ctx, client.Message{Kind: client.Text, Data: bytes.Clone(in.Bytes())})
	}

	last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = errors.Join(err, c.Close(last)) // what was sent has time to arrive
	printing.Wait()
	return err
}

// trust reads the authorities of a file; nil stands for those of the system.
func trust(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: there is no certificate in it", file)
	}
	return roots, nil
}
