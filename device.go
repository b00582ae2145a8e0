package latchkey

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/mileusna/useragent"
)

// Device is what a user agent says of the client, and where its address is,
// found out once at sign-in. What is not known is "".
type Device struct {
	OSCode              string `json:"osCode,omitempty"` // WIN, MAC, LIN, AND, IOS
	OSName              string `json:"osName,omitempty"`
	OSVersion           string `json:"osVersion,omitempty"`
	ClientType          string `json:"clientType,omitempty"` // browser, or bot
	ClientCode          string `json:"clientCode,omitempty"` // CH, FF, SF
	ClientName          string `json:"clientName,omitempty"`
	ClientVersion       string `json:"clientVersion,omitempty"`
	ClientEngine        string `json:"clientEngine,omitempty"` // Blink, Gecko, WebKit
	ClientEngineVersion string `json:"clientEngineVersion,omitempty"`
	DeviceName          string `json:"deviceName,omitempty"` // desktop, smartphone or tablet
	DeviceBrand         string `json:"deviceBrand,omitempty"`
	DeviceModel         string `json:"deviceModel,omitempty"`
	CountryCode         string `json:"countryCode,omitempty"` // ISO 3166-1 alpha-2 in lower case, of the address
}

// String says the client and the system in a few words.
func (d Device) String() string {
	words := strings.Fields(d.ClientName + " " + d.ClientVersion)
	if d.OSName != "" {
		words = append(words, "on", d.OSName)
	}
	if len(words) == 0 {
		return "unknown device"
	}
	return strings.Join(words, " ")
}

// device returns what is known of a client.
func (e *Engine) device(ctx context.Context, c Client) (d Device) {
	d = c.device()
	if e.locator != nil && c.IP.IsValid() {
		defer e.recovered(ctx, "Locator")
		if code := e.locator.Country(c.IP); len(code) == 2 {
			d.CountryCode = strings.ToLower(code)
		}
	}
	return d
}

func (c Client) device() Device {
	ua := useragent.Parse(c.UserAgent)
	d := Device{
		OSCode: osCode(ua.OS), OSName: ua.OS, OSVersion: ua.OSVersion,
		ClientName: ua.Name, ClientVersion: majorMinor(ua.Version),
		DeviceBrand: brand(ua.Device), DeviceModel: ua.Device,
	}
	if ua.OS == useragent.Windows {
		d.OSVersion = strings.TrimSuffix(ua.OSVersion, ".0")
	}
	code, engine := browser(ua.Name)
	switch {
	case ua.Bot:
		d.ClientType = "bot"
	case code != "":
		d.ClientType, d.ClientCode, d.ClientEngine = "browser", code, engine
	}
	switch {
	case ua.Tablet:
		d.DeviceName = "tablet"
	case ua.Mobile:
		d.DeviceName = "smartphone"
	case ua.Desktop:
		d.DeviceName = "desktop"
	}
	return d
}

// majorMinor returns the first two numbers of a version.
func majorMinor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}

// The codes follow the lists of the Matomo device detector.
func osCode(name string) string {
	switch name {
	case useragent.Windows:
		return "WIN"
	case useragent.MacOS:
		return "MAC"
	case useragent.Linux:
		return "LIN"
	case useragent.Android:
		return "AND"
	case useragent.IOS:
		return "IOS"
	case useragent.ChromeOS:
		return "COS"
	case useragent.FreeBSD:
		return "BSD"
	}
	return ""
}

func browser(name string) (code, engine string) {
	switch name {
	case useragent.Chrome:
		return "CH", "Blink"
	case useragent.Edge:
		return "PS", "Blink"
	case useragent.Opera:
		return "OP", "Blink"
	case useragent.Vivaldi:
		return "VI", "Blink"
	case useragent.SamsungBrowser:
		return "SB", "Blink"
	case useragent.Firefox:
		return "FF", "Gecko"
	case useragent.Safari:
		return "SF", "WebKit"
	case useragent.InternetExplorer:
		return "IE", "Trident"
	}
	return "", ""
}

func brand(model string) string {
	switch {
	case strings.HasPrefix(model, "iP"):
		return "Apple"
	case strings.HasPrefix(model, "SM-"):
		return "Samsung"
	case strings.HasPrefix(model, "Pixel"):
		return "Google"
	}
	return ""
}

// encode returns the device as it is stored.
func (d Device) encode() string {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // only texts are in it
	}
	return string(b)
}

func decodeDevice(text string) (d Device, err error) {
	err = json.Unmarshal([]byte(text), &d)
	return d, err
}
