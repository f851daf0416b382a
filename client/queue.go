package client

import "time"

// queue holds what waits for a connection, in order.
type queue struct {
	limits Queue
	items  []*item
	bytes  int
}

// item is a message on its way. done gets one value: nil once it was handed to a
// connection.
type item struct {
	message Message
	done    chan error
	until   time.Duration // 0: its context alone decides
}

func (q *queue) add(now time.Duration, m Message) (*item, error) {
	if len(q.items) >= q.limits.Messages || len(q.items) > 0 && q.bytes+cost(m) > q.limits.Bytes {
		return nil, ErrQueueFull
	}
	it := &item{message: m, done: make(chan error, 1)}
	if q.limits.MaxAge > 0 {
		it.until = now + q.limits.MaxAge
	}
	q.items = append(q.items, it)
	q.bytes += cost(m)
	return it, nil
}

// remove takes it out and reports whether it was still there.
func (q *queue) remove(it *item) bool {
	for i, other := range q.items {
		if other == it {
			q.items = append(q.items[:i], q.items[i+1:]...)
			q.bytes -= cost(it.message)
			return true
		}
	}
	return false
}

// pop takes the first out and tells its sender.
func (q *queue) pop(err error) {
	it := q.items[0]
	q.items[0] = nil
	q.items = q.items[1:]
	q.bytes -= cost(it.message)
	it.done <- err
}

// fail tells every sender.
func (q *queue) fail(err error) {
	for len(q.items) > 0 {
		q.pop(err)
	}
	q.items = nil
}

// expire drops what is too old. All have the same age limit, so the first is the
// oldest; its end is next, 0 if there is none.
func (q *queue) expire(now time.Duration) (next time.Duration) {
	for len(q.items) > 0 && q.items[0].until != 0 {
		if next = q.items[0].until; now < next {
			return next
		}
		q.pop(ErrExpired)
	}
	return 0
}
