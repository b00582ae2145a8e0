package agent

import "testing"

func TestParseNamesClientSystemAndDevice(t *testing.T) {
	for text, want := range map[string]Agent{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.127 Safari/537.36": {
			OSCode: "WIN", OSName: "Windows", OSVersion: "10", ClientType: "browser", ClientCode: "CH", ClientName: "Chrome",
			ClientVersion: "126.0", ClientEngine: "Blink", DeviceName: "desktop",
		},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Mobile/15E148 Safari/604.1": {
			OSCode: "IOS", OSName: "iOS", OSVersion: "16.0", ClientType: "browser", ClientCode: "SF", ClientName: "Safari",
			ClientVersion: "16.0", ClientEngine: "WebKit", DeviceName: "smartphone", DeviceBrand: "Apple", DeviceModel: "iPhone",
		},
		"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0": {
			OSCode: "LIN", OSName: "Linux", OSVersion: "x86_64", ClientType: "browser", ClientCode: "FF", ClientName: "Firefox",
			ClientVersion: "127.0", ClientEngine: "Gecko", DeviceName: "desktop",
		},
	} {
		if got := Parse(text); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", text, got, want)
		}
	}
	if bot := Parse("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"); bot.ClientType != "bot" || bot.ClientCode != "" {
		t.Errorf("%+v", bot)
	}
	if empty := Parse(""); empty != (Agent{}) {
		t.Errorf("%+v", empty)
	}
}
