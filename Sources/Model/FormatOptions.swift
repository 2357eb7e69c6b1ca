/// What a target may choose about how its records are written.
public struct FormatOptions: Sendable, Equatable {
    /// Vendor in the headers of CEF and LEEF and in OCSF's product.
    public var vendor = "Sidereal"
    /// Product in the same places.
    public var product = "Sidereal"
    /// CEF: 0, which every deployed parser takes, or 1 for the keys of version 1.2.
    public var cefVersion = 0
    /// syslog: facility, 0 to 23 (RFC 5424, section 6.2.1); 13 is "log audit".
    public var facility = 13
    /// syslog: APP-NAME, printable ASCII without spaces, at most 48 bytes.
    public var appName = "sidereal"
    /// syslog: IANA private enterprise number of the structured data; 32473 is IANA's own for documentation.
    public var enterpriseID = 32_473
    /// syslog: longest message in bytes; 0 for no bound. Receivers should take 8192 (RFC 5425, section 4.3.1).
    public var maxMessageBytes = 0

    /// The defaults.
    public init() {}
}
