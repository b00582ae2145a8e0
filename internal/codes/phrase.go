package codes

import (
	"crypto/rand"
	"math/big"
	"strings"
)

// Phrase draws two words, by which users recognise the message that they asked for.
func Phrase() string { return pick(phraseAdjectives) + " " + pick(phraseNouns) }

func pick(words string) string {
	list := strings.Fields(words)
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(list))))
	if err != nil {
		panic(err) // never: crypto/rand ends the program instead
	}
	return list[n.Int64()]
}

const (
	phraseAdjectives = `Amber Ancient Azure Bashful Bold Brave Bright Brisk Calm Candid Careful Cheerful Clever Coral Cosmic
		Cozy Crimson Curious Daring Dazzling Eager Early Earnest Emerald Fabled Fancy Fearless Festive Fluffy Fragrant Frosty Gallant
		Gentle Gleaming Golden Graceful Grand Hasty Hazel Hidden Honest Humble Hushed Indigo Ivory Jolly Keen Kind Lively Loyal
		Lucky Lunar Mellow Merry Mighty Mindful Misty Modest Nimble Noble Northern Olive Patient Pearly Playful Polite Proud Purple Quick
		Quiet Radiant Rapid Rosy Royal Rustic Scarlet Shiny Silent Silver Sincere Smooth Snowy Solar Steady Sturdy Sunny Swift Tender
		Tidy Tranquil Velvet Vivid Warm Wandering Wise Witty Young Zesty`
	phraseNouns = `Acorn Anchor Badger Bamboo Beacon Beaver Birch Bison Bridge Brook Canyon Cedar Cello Cliff Clover Comet Compass
		Coyote Crane Cricket Crystal Dolphin Dove Dragon Eagle Elm Falcon Feather Fern Finch Forest Fountain Fox Garden Glacier Grove
		Harbor Harp Hawk Hedgehog Heron Hill Island Jaguar Kestrel Lagoon Lantern Lark Leaf Leopard Lily Lion Lotus Lynx Maple Marble
		Marten Meadow Meteor Moon Mountain Nebula Oak Ocean Orchid Otter Owl Panda Panther Pebble Pelican Pine Planet Pony Prairie
		Puffin Quartz Rabbit Raven Reef River Robin Salmon Seal Sparrow Spruce Star Stork Summit Swan Thistle Tiger Tulip Turtle
		Valley Violin Walnut Whale Willow Wolf Wren`
)
