package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/sallyport/sallyport/internal/ws"
)

// maxRefusal is how much of the body of a refusal is read, in bytes.
const maxRefusal = 4 << 10

// readAnswer reads a server's answer to a handshake. Interim answers (1xx) are
// dropped; all heads together have at most 16 KiB. early are the bytes behind a
// 101: frames. Any other answer is a *RefusedError.
func readAnswer(socket io.Reader) (answer *http.Response, early []byte, err error) {
	var buf []byte
	for read := 0; ; {
		end, err := headEnd(buf)
		if err != nil {
			return nil, nil, err
		}
		if end == 0 {
			if read+len(buf) >= ws.MaxHead {
				return nil, nil, errors.New("the head of the answer is larger than 16 KiB")
			}
			var chunk [4 << 10]byte
			n, err := socket.Read(chunk[:])
			buf = append(buf, chunk[:n]...)
			if n == 0 && err != nil {
				return nil, nil, fmt.Errorf("read the answer: %w", noEOF(err))
			}
			continue
		}
		read += end
		rest := io.MultiReader(bytes.NewReader(buf), socket) // only a refusal has a body to read
		answer, err := http.ReadResponse(bufio.NewReader(rest), &http.Request{Method: http.MethodGet})
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("read the answer: %w", err)
		case answer.StatusCode == http.StatusSwitchingProtocols:
			return answer, buf[end:], nil
		case answer.StatusCode >= 200:
			body, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
			return nil, nil, refusal(answer, body)
		case read >= ws.MaxHead:
			return nil, nil, errors.New("the interim answers are larger than 16 KiB")
		}
		buf = buf[end:]
	}
}

// headEnd is the length of the head at the beginning of b, or 0 while it is not
// complete. It refuses what two readers could understand differently: a line that
// does not end in CRLF, a control character, a folded line.
func headEnd(b []byte) (int, error) {
	line := 0
	for i, c := range b {
		afterCR := i > line && b[i-1] == '\r'
		switch {
		case (c == '\n') != afterCR:
			return 0, errors.New("read the answer: a line does not end in CRLF")
		case c == '\n' && i-1 == line:
			return i + 1, nil
		case c == '\n':
			line = i + 1
		case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
			return 0, errors.New("read the answer: its head has a control character")
		case (c == ' ' || c == '\t') && i == line:
			return 0, errors.New("read the answer: a line is folded")
		}
	}
	return 0, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
