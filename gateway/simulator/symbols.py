"""Names the simulated market trades: well-known US tickers with a plausible price, then made-up ones.

Prices are rounded and of no particular day: a market that looks right, not data. Nothing here says
how a ticker trades; that is the market's matter.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from gateway.errors import ConfigError

TICKERS_MAX = 65_535  # A locate code has two bytes, and 0 means "no ticker".
TICKER_SIZE = 8


@dataclass(frozen=True, slots=True)
class Symbol:
    """A ticker as the directory shows it. `dollars` is where its price starts."""

    ticker: str
    dollars: float
    category: str  # listing market: Q Nasdaq Global Select, N NYSE, P NYSE Arca, Z Cboe
    etp: bool = False
    leverage: int = 0
    inverse: bool = False


# The busiest first: they carry most of the traffic, and between them they touch every stripe that
# shares and funds can be in, so that even a market of twenty moves everywhere.
_HOT = (
    "SPY NVDA TSLA AAPL QQQ AMZN IWM MSFT AMD META GOOGL VXX NFLX INTC PLTR GOOG BAC F SOFI AVGO COIN MU "
    "BABA XLF JPM DIS T TQQQ SQQQ SOXL UBER C WFC PFE KO XOM MARA RIVN SNAP GLD TLT EEM HYG SLV BA CSCO MSTR"
)

_NASDAQ = """
AAL 11.2 AAPL 227.5 ABNB 118.3 ADBE 531.4 ADI 228.9 ADP 276.1 ADSK 271.6 AEP 99.4 AFRM 41.7 ALGN 233.8 ALNY
271.2 AMAT 201.3 AMD 156.4 AMGN 322.7 AMZN 186.5 ANSS 319.4 APP 92.3 ARM 142.8 ASML 833.0 AVGO 172.4 AXON
391.2 AZN 78.4 BIDU 88.6 BIIB 196.3 BKNG 3921.5 BKR 36.2 BMRN 71.9 BYND 6.4 CDNS 271.0 CDW 223.9 CEG 254.1
CHTR 337.2 CHKP 192.5 CMCSA 41.3 CME 219.8 COIN 171.6 COST 892.4 CPRT 51.9 CRWD 291.3 CSCO 52.6 CSGP 76.1
CSX 34.1 CTAS 206.8 CTSH 77.2 DASH 141.6 DBX 24.9 DDOG 114.3 DKNG 38.2 DLTR 71.0 DOCU 61.7 DXCM 68.4 EA
143.6 EBAY 64.8 ENPH 112.2 EQIX 884.1 ETSY 51.2 EXC 40.3 EXPE 148.7 FANG 177.5 FAST 71.1 FISV 178.2 FITB
42.7 FOXA 41.5 FSLR 244.8 FTNT 78.3 GEHC 92.7 GFS 39.8 GILD 83.9 GOOG 166.4 GOOGL 164.9 HBAN 14.7 HON 205.9
HOOD 23.4 HST 17.6 IDXX 503.1 ILMN 129.6 INCY 65.8 INTC 23.5 INTU 631.7 ISRG 488.2 JBLU 6.3 JD 39.6 KDP 37.1
KHC 35.2 KLAC 773.5 LCID 3.5 LI 25.3 LIN 474.6 LOGI 88.7 LRCX 809.2 LULU 268.4 MARA 16.3 MAR 247.9 MCHP 79.6
MDB 276.5 MDLZ 73.4 MELI 2061.8 META 567.9 MNST 52.0 MRNA 66.8 MRVL 72.4 MSFT 428.6 MSTR 171.9 MU 104.1 NDAQ
72.9 NFLX 711.3 NTES 87.4 NTRS 89.5 NVDA 121.7 NXPI 238.6 ODFL 197.4 OKTA 73.8 ON 72.1 ORLY 1151.3 PANW
339.4 PAYX 134.2 PCAR 98.5 PDD 128.9 PEP 170.6 PLTR 37.1 PLUG 2.3 PTON 4.7 PYPL 77.8 QCOM 169.3 QRVO 102.6
REGN 1051.2 RIOT 7.6 RIVN 11.6 ROKU 74.3 ROP 553.7 ROST 151.4 SBUX 97.3 SEDG 21.8 SIRI 24.1 SMCI 45.2 SNPS
506.9 SOFI 7.9 STX 109.2 SWKS 98.6 TEAM 161.9 TER 133.4 TMUS 203.8 TROW 108.7 TSCO 289.1 TSLA 254.2 TTD
108.9 TTWO 153.6 TXN 205.4 UAL 56.2 UPST 39.3 VRSK 267.8 VRSN 189.3 VRTX 468.2 VTRS 11.7 WBA 8.9 WBD 8.2
WDAY 243.7 WDC 67.4 WYNN 94.2 XEL 64.6 ZM 69.7 ZS 172.3
"""

_NYSE = """
A 147.2 ABBV 195.8 ABT 113.6 ACN 349.1 AFL 111.3 AIG 73.9 ALB 93.1 ALL 189.5 AMC 4.6 AMT 232.4 ANET 384.9
AON 347.2 APD 296.5 APO 125.3 AXP 271.6 AZO 3141.8 BA 154.3 BABA 106.1 BAC 39.6 BAX 38.1 BDX 241.3 BK 71.8
BLK 947.2 BMY 51.6 BP 31.7 BRK.B 459.3 BSX 83.7 BX 152.8 C 62.4 CAT 389.6 CB 288.4 CCL 18.3 CF 85.6 CI 346.1
CL 103.7 CLF 12.9 CLX 162.8 CMG 57.4 CMI 322.9 COF 148.9 COP 106.2 CRM 273.8 CVNA 174.6 CVS 62.7 CVX 148.3 D
57.8 DAL 50.4 DD 88.9 DE 417.3 DELL 117.6 DG 84.2 DHI 190.8 DHR 276.4 DIS 95.6 DOW 54.3 DUK 115.1 DVN 39.7
ECL 255.3 EL 98.2 ELV 519.4 EMR 109.2 EOG 123.8 EPD 29.2 ET 16.1 ETN 331.2 F 10.6 FCX 49.8 FDX 272.9 FICO
1943.0 GD 302.1 GE 188.4 GIS 73.9 GLW 44.8 GM 44.9 GME 22.8 GPN 101.7 GS 494.6 GWW 1036.4 HAL 29.1 HCA 406.4
HD 404.1 HES 136.2 HIG 117.4 HLT 230.1 HPE 20.4 HPQ 36.1 HUM 316.7 IBM 221.3 ICE 161.2 INFY 22.4 IP 48.6 IT
506.3 ITW 261.9 JCI 77.3 JNJ 162.1 JPM 210.8 K 80.7 KEY 16.8 KKR 130.4 KMB 142.6 KMI 22.1 KO 71.9 KR 57.2
KSS 20.9 KVUE 23.1 LEN 187.3 LLY 886.2 LMT 584.1 LOW 270.7 LUV 29.6 LVS 50.2 LYFT 12.7 M 15.7 MA 493.6 MCD
304.5 MCK 494.2 MDT 90.1 MET 82.3 MMC 223.5 MMM 136.4 MO 51.0 MOS 26.7 MPC 162.9 MRK 113.6 MS 104.2 MSCI
583.1 NCLH 20.5 NEE 84.6 NEM 53.4 NET 80.9 NIO 6.7 NKE 89.1 NOC 528.3 NOW 894.7 NU 13.6 NUE 150.4 NVO 119.2
NVR 9812.0 O 63.4 ORCL 170.4 OXY 51.6 PBR 14.4 PCG 19.8 PEG 89.2 PFE 28.9 PG 173.2 PGR 253.8 PH 631.4 PINS
32.4 PLD 126.3 PM 121.4 PNC 184.9 PRU 121.1 PSA 363.8 PSX 131.5 RACE 470.1 RBLX 44.2 RCL 177.4 RDDT 65.9 RTX
121.2 SCHW 64.8 SHEL 65.9 SHOP 80.1 SHW 381.7 SLB 41.9 SNAP 10.7 SNOW 114.9 SO 90.2 SPGI 516.6 SPOT 368.5 SQ
67.1 STT 88.4 SYK 361.3 SYY 78.1 T 21.9 TDG 1427.0 TFC 42.8 TGT 155.9 TJX 117.5 TM 178.6 TMO 618.6 TOST 28.3
TRV 234.1 TSM 173.7 TSN 59.6 U 22.6 UBER 75.2 UNH 584.7 UNP 246.5 UPS 136.3 USB 45.7 V 274.9 VALE 11.7 VLO
135.0 VZ 44.9 WELL 128.0 WFC 56.5 WM 207.6 WMT 80.7 WPM 61.1 X 35.3 XOM 117.2 XYL 135.0 YUM 139.7 ZTS 195.4
"""

# Funds say after the price what they multiply: 3, or -3 for an inverse one.
_FUNDS = """
AGG 101.3 1 ARKK 47.5 1 BIL 91.8 1 BND 75.1 1 DIA 423.1 1 EEM 45.9 1 EFA 83.6 1 EWJ 71.6 1 EWZ 29.5 1 FXI
31.8 1 GDX 39.8 1 GDXJ 48.8 1 GLD 243.1 1 HYG 80.3 1 IBIT 36.2 1 IEF 98.1 1 IJR 116.9 1 IVV 576.8 1 IWM
220.9 1 IWN 166.8 1 IYR 101.9 1 JNK 97.8 1 KRE 56.6 1 KWEB 34.0 1 LABU 128.4 3 LQD 113.0 1 MDY 569.7 1 QID
40.3 -2 QLD 98.2 2 QQQ 488.1 1 QQQM 200.9 1 RSP 179.2 1 SCHD 84.5 1 SDS 19.9 -2 SH 11.3 -1 SLV 28.4 1 SMH
245.5 1 SOXL 37.2 3 SOXS 20.9 -3 SOXX 230.6 1 SPLG 67.5 1 SPXL 162.4 3 SPXS 7.1 -3 SPXU 22.8 -3 SPY 573.8 1
SPYG 82.9 1 SPYV 52.9 1 SQQQ 7.6 -3 SSO 88.6 2 TIP 110.5 1 TLT 98.1 1 TNA 45.1 3 TQQQ 73.1 3 TZA 13.3 -3 UCO
25.9 2 UNG 16.4 1 UPRO 86.5 3 URA 28.6 1 USO 70.2 1 UVXY 22.8 2 VEA 52.8 1 VGT 586.5 1 VIXY 12.9 1 VNQ 97.4
1 VOO 527.7 1 VTI 283.2 1 VTV 174.6 1 VWO 47.9 1 VXX 47.3 1 XBI 98.8 1 XHB 124.6 1 XLB 96.4 1 XLC 90.4 1 XLE
87.8 1 XLF 45.3 1 XLI 135.4 1 XLK 225.8 1 XLP 83.0 1 XLRE 44.7 1 XLU 80.8 1 XLV 154.0 1 XLY 200.4 1 XOP
131.5 1 XRT 77.6 1 YINN 30.7 3
"""


def _listed() -> tuple[Symbol, ...]:
    found: dict[str, Symbol] = {}
    for text, category in ((_NASDAQ, "Q"), (_NYSE, "N")):
        words = text.split()
        for ticker, dollars in zip(words[::2], words[1::2], strict=True):
            found[ticker] = Symbol(ticker, float(dollars), category)
    words = _FUNDS.split()
    for ticker, dollars, factor in zip(words[::3], words[1::3], words[2::3], strict=True):
        category = "Q" if ticker in ("QQQ", "TQQQ", "SQQQ", "TLT", "SMH", "SOXX", "IBIT", "QQQM") else "P"
        found[ticker] = Symbol(ticker, float(dollars), category, True, abs(int(factor)), factor < "0")
    hot = _HOT.split()
    # After the hot ones any order will do, if it is always the same and mixes the alphabet.
    rest = sorted(found.keys() - set(hot), key=lambda ticker: (zlib.crc32(ticker.encode()), ticker))
    return tuple(found[ticker] for ticker in (*hot, *rest))


LISTED = _listed()
"""Every built-in symbol, the busiest first."""

_BY_TICKER = {symbol.ticker: symbol for symbol in LISTED}


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STRIDE = 123_457  # Shares no factor with 26, so four letters repeat only after 26 ** 4 names.


def invented() -> Iterator[Symbol]:
    """Names beyond the known ones: five letters that end in Z, spread over the whole alphabet."""
    for number in range(26**4):
        left, letters = number * _STRIDE % 26**4, "Z"
        for _ in range(4):
            left, letter = divmod(left, 26)
            letters = _LETTERS[letter] + letters
        if letters not in _BY_TICKER:
            yield symbol_of(letters)


def symbol_of(ticker: str) -> Symbol:
    """The built-in symbol of this name; for any other name one whose price follows from the name."""
    if (known := _BY_TICKER.get(ticker)) is not None:
        return known
    if (
        not 1 <= len(ticker) <= TICKER_SIZE
        or not ticker.isascii()
        or not ticker.isprintable()
        or " " in ticker
    ):
        raise ConfigError(
            f"ticker {ticker!r}: expected 1 to {TICKER_SIZE} printable ASCII characters without a space"
        )
    return Symbol(ticker, 5 + zlib.crc32(ticker.encode()) % 40_000 / 100, "QN"[len(ticker) % 2])


def choose(tickers: int | Sequence[str]) -> tuple[Symbol, ...]:
    """The symbols of a market: the busiest N (made-up names beyond those built in), or those named."""
    if isinstance(tickers, int):
        if not 1 <= tickers <= TICKERS_MAX:
            raise ConfigError(f"a market has 1 to {TICKERS_MAX:,} tickers, not {tickers:,}")
        return tuple(islice(chain(LISTED, invented()), tickers))
    if not tickers or len(tickers) > TICKERS_MAX:
        raise ConfigError(f"a market has 1 to {TICKERS_MAX:,} tickers, not {len(tickers):,}")
    if len(set(tickers)) != len(tickers):
        raise ConfigError("a ticker is named twice: " + min(t for t in tickers if list(tickers).count(t) > 1))
    return tuple(symbol_of(ticker) for ticker in tickers)
