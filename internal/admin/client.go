package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/guard"
)

// Client talks to a server's administrator's API. Its methods return a
// [*Problem] for what the server refused and an error wrapping [ErrUnreachable]
// if it could not be asked.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// ErrUnreachable says that nobody answered as a server would.
var ErrUnreachable = errors.New("the server could not be reached")

// maxAnswer bounds what is read of an answer: a full list has a few MiB.
const maxAnswer = 64 << 20

// NewClient returns a client for what [Listen] opens. token is for TCP only.
func NewClient(listen, state, token string) *Client {
	c := &Client{base: "http://" + listen, token: token}
	transport := &http.Transport{MaxIdleConns: 1, IdleConnTimeout: 10 * time.Second}
	if path := Socket(listen, state); path != "" {
		c.base = "http://sallyport"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	c.http = &http.Client{
		Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode != http.StatusOK {
		p := &Problem{Status: resp.StatusCode}
		if json.Unmarshal(data, p) != nil || p.Message == "" {
			return fmt.Errorf("%w: it answered %s, as no Sallyport does", ErrUnreachable, resp.Status)
		}
		return p
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%w: its answer is not that of a Sallyport", ErrUnreachable)
	}
	return nil
}

// Connections lists the connections that fit every filter given.
func (c *Client) Connections(ctx context.Context, filters url.Values) (List, error) {
	var out List
	return out, c.do(ctx, http.MethodGet, "/connections?"+filters.Encode(), nil, &out)
}

// End ends the connections that fit; all=true must be said for everybody.
func (c *Client) End(ctx context.Context, filters url.Values) (int, error) {
	var out Ended
	err := c.do(ctx, http.MethodDelete, "/connections?"+filters.Encode(), nil, &out)
	return out.Ended, err
}

// Revoke makes m final and returns how many connections ended.
func (c *Client) Revoke(ctx context.Context, m guard.Match) (int, error) {
	var out Ended
	err := c.do(ctx, http.MethodPost, "/revocations", m, &out)
	return out.Ended, err
}

// Mint asks for a ticket.
func (c *Client) Mint(ctx context.Context, o Order) (Minted, error) {
	var out Minted
	return out, c.do(ctx, http.MethodPost, "/tickets", o, &out)
}

// Config returns the effective configuration of the server, masked.
func (c *Client) Config(ctx context.Context) (Shown, error) {
	var out Shown
	return out, c.do(ctx, http.MethodGet, "/config", nil, &out)
}

// Reload makes the server read its configuration again.
func (c *Client) Reload(ctx context.Context) error {
	var out map[string]bool
	return c.do(ctx, http.MethodPost, "/reload", nil, &out)
}
