package latchkey

import "time"

// waiting is a row that strangers can make without a proof, and that waits for its end: a sign-in that has begun.
type waiting struct {
	id, network     string
	created, expire time.Time
}

// crowd bounds the rows of a share: strangers cannot make any number of them, and a flood pushes out its own.
type crowd struct {
	share   int // rows in all
	network int // rows of one network
}

// makeRoom ends rows of a share, the oldest first, until one more of a network is within the bounds: those that have
// expired, and those of the network that has most.
func (tx *txn) makeRoom(most crowd, own string, rows []waiting, end func(id string) error) error {
	byNetwork := make(map[string][]waiting)
	left := 0
	for _, r := range rows {
		if !tx.live(r.created, r.expire) {
			if err := end(r.id); err != nil {
				return err
			}
			continue
		}
		byNetwork[r.network] = append(byNetwork[r.network], r)
		left++
	}
	for left >= most.share || len(byNetwork[own]) >= most.network {
		largest := own
		if len(byNetwork[own]) < most.network {
			for network, begun := range byNetwork {
				if len(begun) > len(byNetwork[largest]) || len(begun) == len(byNetwork[largest]) && network < largest {
					largest = network
				}
			}
		}
		if err := end(byNetwork[largest][0].id); err != nil {
			return err
		}
		byNetwork[largest] = byNetwork[largest][1:]
		left--
	}
	return nil
}
