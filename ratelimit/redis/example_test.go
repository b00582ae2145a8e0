package redis_test

import (
	"log"

	goredis "github.com/redis/go-redis/v9"

	"example.com/latchkey/ratelimit/redis"
)

// The limiter is Config.Limiter of each machine.
func Example() {
	client := goredis.NewUniversalClient(&goredis.UniversalOptions{
		Addrs:                 []string{"redis:6379"},
		ContextTimeoutEnabled: true, // so that the client minds the limiter's timeout
	})
	defer client.Close()
	limiter, err := redis.New(client, redis.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_ = limiter
}
