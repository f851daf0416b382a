package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/client"
)

// drive is the process of clients of package client. It ends when in does.
func drive(text string, in io.Reader, out io.Writer) error {
	d := &driver{ends: map[string]int{}, out: json.NewEncoder(out)}
	if err := json.Unmarshal([]byte(text), &d.orders); err != nil {
		return err
	}
	pem, err := os.ReadFile(d.orders.CA)
	if err != nil {
		return err
	}
	d.roots = x509.NewCertPool()
	d.roots.AppendCertsFromPEM(pem)

	stop, told := context.WithCancel(context.Background())
	go func() { // ends with the process
		io.Copy(io.Discard, in)
		told()
	}()
	var all, telling sync.WaitGroup
	failures := make(chan error, d.orders.Count)
	for i := range d.orders.Count {
		all.Go(func() {
			wait := time.Duration(float64(i) / float64(d.orders.Count) * d.orders.Ramp * float64(time.Second))
			select {
			case <-time.After(wait):
			case <-stop.Done():
			}
			failures <- d.client(stop, name(d.orders.First+i))
		})
	}
	finished := make(chan struct{})
	telling.Go(func() { d.tell(finished) })
	all.Wait()
	close(finished)
	telling.Wait()
	for range d.orders.Count {
		if err := <-failures; err != nil {
			return err
		}
	}
	return d.say(line{Summary: &summary{Ends: d.ends, Renewed: int(d.renewed.Load()), Runtime: runtime.Version()}})
}

type driver struct {
	orders  orders
	roots   *x509.CertPool
	open    atomic.Int64
	renewed atomic.Int64

	mu   sync.Mutex // guards what follows
	ends map[string]int
	out  *json.Encoder
}

func (d *driver) say(l line) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Encode(l)
}

// tell says how many are open, when that has changed, and how late this is.
func (d *driver) tell(finished <-chan struct{}) {
	said := -1
	for {
		if n := int(d.open.Load()); n != said {
			said = n
			d.say(line{Open: &n})
		}
		began := time.Now()
		select {
		case <-finished:
			return
		case <-time.After(lookEvery):
		}
		if late := time.Since(began) - lookEvery; late > lateFrom {
			d.say(line{Late: late.Seconds()})
		}
	}
}

// client is one client from the beginning to the end.
func (d *driver) client(stop context.Context, name string) error {
	a := &account{Name: name}
	var mu sync.Mutex // guards a
	var open bool
	trouble := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		a.Trouble = append(a.Trouble, what)
	}
	balancer := net.JoinHostPort("127.0.0.1", strconv.Itoa(d.orders.Port))
	c, err := client.New("wss://"+name+"."+d.orders.Domain+":"+strconv.Itoa(d.orders.Port)+d.orders.Path, client.Options{
		TLS:     &tls.Config{RootCAs: d.roots},
		Backoff: client.Backoff{Stable: time.Duration(d.orders.Stable * float64(time.Second))},
		Token: func(_ context.Context, why client.Why) (string, error) {
			if why == client.Expiring {
				d.renewed.Add(1)
			}
			return d.token(name), nil
		},
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, balancer)
		},
		OnState: func(s client.State) {
			if now := s.Status == client.Open; now != open {
				open = now
				if d.open.Add(-1); now {
					d.open.Add(2)
				}
			}
			if s.Status == client.Ended {
				trouble(fmt.Sprintf("ended: %v", s.Err))
			}
			if s.Err != nil && s.Status != client.Closed {
				d.count(s.Err)
			}
		},
		OnUnknown: func(messages []client.Message) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range messages {
				n, _ := strconv.Atoi(m.ID)
				a.Unknown = append(a.Unknown, n)
			}
		},
	})
	if err != nil {
		return err
	}
	background := context.Background()
	var sends, receiving sync.WaitGroup
	receiving.Go(func() {
		for _, err := range c.Messages(background) {
			if err != nil {
				return
			}
			a.Answers++ // read after receiving has ended
		}
	})
	every := time.Duration(d.orders.Every * float64(time.Second))
	for wait := time.Duration(0); ; wait = every/2 + rand.N(every) {
		select {
		case <-stop.Done():
		case <-time.After(wait):
			a.Sent++
			n := a.Sent
			sends.Go(func() {
				if err := c.Send(background, client.Message{Kind: client.Text, Data: []byte(write(name, n)), ID: strconv.Itoa(n)}); err != nil {
					mu.Lock()
					defer mu.Unlock()
					a.Rejected = append(a.Rejected, n)
				}
			})
			continue
		}
		break
	}
	sends.Wait()
	ctx, cancel := context.WithTimeout(background, finishWait/2)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		trouble(fmt.Sprintf("close: %v", err))
	}
	receiving.Wait()
	mu.Lock()
	defer mu.Unlock()
	return d.say(line{Account: a})
}

// count notes why there is no connection.
func (d *driver) count(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	refused, isRefused := errors.AsType[*client.RefusedError](err)
	end, isEnd := errors.AsType[*client.CloseError](err)
	switch {
	case isRefused:
		d.ends[fmt.Sprintf("refused %d %s", refused.Status, refused.Code)]++
	case isEnd:
		d.ends[fmt.Sprintf("%d %s", end.Code, end.Door)]++
	default:
		d.ends["network"]++
	}
}

// token signs one for a while.
func (d *driver) token(name string) string {
	now := time.Now()
	header, _ := json.Marshal(map[string]any{"alg": "HS256", "typ": "at+jwt"})
	claims, _ := json.Marshal(map[string]any{
		"iss": d.orders.Issuer, "aud": d.orders.Audience, "sub": name,
		"iat": now.Unix(), "exp": now.Unix() + int64(d.orders.Life),
	})
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64(header) + "." + b64(claims)
	mac := hmac.New(sha256.New, []byte(d.orders.Secret))
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}
