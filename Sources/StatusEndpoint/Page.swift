internal import NIOHTTP1

/// A file of the page, which lies in the binary.
struct PageFile: Sendable {
    let type: String
    let bytes: [UInt8]
    /// Changes with the content (RFC 9110, section 8.8.3).
    let tag: String

    init(type: String, _ bytes: [UInt8]) {
        self.type = type
        self.bytes = bytes
        // FNV-1a: it tells versions apart, and protects nothing.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        tag = "\"\(String(hash, radix: 16))\""
    }

    /// The file, or 304 if the browser has it.
    func reply(ifNoneMatch: String?) -> Reply {
        let isKnown = ifNoneMatch?.contains(tag) ?? false
        var reply = Reply(isKnown ? .notModified : .ok, type: type, isKnown ? [] : bytes)
        // Kept, and asked for each time: after an update nobody sees yesterday's script with today's document.
        reply.fields = [("Cache-Control", "no-cache"), ("ETag", tag)]
        return reply
    }

    /// By path.
    static let all: [String: PageFile] = [
        "/": PageFile(type: "text/html; charset=utf-8", PackageResources.index_html),
        "/style.css": PageFile(type: "text/css; charset=utf-8", PackageResources.style_css),
        "/page.js": PageFile(type: "text/javascript; charset=utf-8", PackageResources.page_js),
        "/draw.js": PageFile(type: "text/javascript; charset=utf-8", PackageResources.draw_js),
        "/favicon.svg": PageFile(type: "image/svg+xml", PackageResources.favicon_svg),
    ]
}
