package rawstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Postgres reads and writes the tables of a store with pgx alone.
type Postgres struct {
	pool      *pgxpool.Pool
	namespace string
	users     int
}

// OpenPostgres opens the tables of a namespace in which a store has created n sessions.
// It uses at most conns connections.
func OpenPostgres(address, namespace string, n, conns int) (*Postgres, error) {
	pool, err := pgxpool.New(context.Background(), fmt.Sprintf("%s&pool_max_conns=%d", address, conns))
	if err != nil {
		return nil, err
	}
	return &Postgres{pool, namespace, Users(n)}, nil
}

// Close closes the connections.
func (p *Postgres) Close() error {
	p.pool.Close()
	return nil
}

// Get returns a session.
func (p *Postgres) Get(ctx context.Context, digest [32]byte) (*Session, error) {
	x := new(Session)
	var raw []byte
	var challenged, owing, strong, confirmed *time.Time
	err := p.pool.QueryRow(ctx, "SELECT "+sessionColumns+" FROM "+p.namespace+".sessions WHERE digest = $1", digest[:]).Scan(&x.ID, &x.UserID,
		&raw, &x.Created, &x.Updated, &x.Expire, &x.Provider, &x.ProviderUID, &x.Factors, &challenged, &x.Touched, &x.IP, &x.Client,
		&x.UserBlocked, &x.UserMustReset, &x.UserMFA, &x.UserFactors, &x.UserPasswordEpoch, &owing, &x.PasswordEpoch, &strong, &x.Targets, &x.Assumed, &x.Identity, &x.Length, &confirmed)
	x.Digest = string(raw)
	return x, err
}

// Write inserts the n-th session and its log row in one transaction.
func (p *Postgres) Write(n int) error {
	ctx := context.Background()
	return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		x, l := NewSession(n, p.users), NewLog(n, p.users)
		_, err := tx.Exec(ctx, "INSERT INTO "+p.namespace+".sessions ("+sessionColumns+
			") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)",
			x.ID, x.UserID, []byte(x.Digest), x.Created, x.Updated, x.Expire, x.Provider, x.ProviderUID, x.Factors, nil, x.Touched, x.IP, x.Client,
			x.UserBlocked, x.UserMustReset, x.UserMFA, x.UserFactors, x.UserPasswordEpoch, nil, x.PasswordEpoch, nil, x.Targets, x.Assumed, x.Identity, x.Length, nil)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO "+p.namespace+".logs (id, user_key, created, event, resource, actor, mode, ip, agent, count, reason, stranger) "+
			"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
			l.ID, l.UserKey, l.Created, l.Event, l.Resource, l.Actor, l.Mode, l.IP, l.Agent, l.Count, l.Reason, l.Stranger)
		return err
	})
}
