// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/net/address.h"
#include "vpn/crypto_profile.h"

namespace sekisho::vpn {

/// A tenant's gateway of IKE: of version 2, or (`l2tp`) of version 1. Two tenants may have the same addresses, identities and user names.
struct Gateway {
  std::uint32_t tenant = 0;
  std::string name;
  std::vector<Address> addresses;
  std::string identity;  ///< IDr: a host name or an address, as it stands in the certificates
  CryptoProfileId profile = CryptoProfileId::kModern;
  bool accept_certificate = false;
  bool accept_eap_mschapv2 = false;
  bool accept_eap_tls = false;
  bool accept_eap_radius = false;  ///< names that a RADIUS backend judges
  bool accept_psk = false;  ///< refused unless the profile allows it
  std::vector<std::string> certificates;  ///< PEM, one for each key; the client's request chooses among them by their issuers
  std::vector<std::string> keys;          ///< PEM
  std::vector<std::string> gateway_cas;   ///< PEM
  std::vector<std::string> client_cas;    ///< PEM
  std::vector<std::string> crls;          ///< PEM; never fetched from what a peer names
  std::vector<std::string> device_cas;    ///< PEM; with any, a device may prove itself before its user does (RFC 4739)
  bool admit_without_list = false;        ///< of gateways with `crls`: a certificate whose CA has none that counts
  std::string ocsp_url;                   ///< whose responder is asked about certificates; controld has it asked. Empty: none is
  bool admit_without_answer = false;      ///< a certificate of which the responder says nothing that counts
  enum class Ppk : std::uint8_t { kNone, kOptional, kRequired };
  Ppk ppk = Ppk::kNone;                   ///< RFC 8784
  std::vector<Prefix> networks;           ///< behind the gateway; what a client asks for beyond them is narrowed away
  std::vector<Address> dns;
  std::vector<std::string> dns_domains;
  std::uint32_t ike_rekey_seconds = 14400;
  std::uint32_t child_rekey_seconds = 3600;
  std::uint32_t child_life_seconds = 4200;
  std::uint64_t child_rekey_bytes = 0;  ///< 0: no limit
  std::uint64_t child_life_bytes = 0;
  std::uint32_t dpd_seconds = 30;
  std::uint32_t replay_window = 1024;  ///< packets
  bool force_udp_encapsulation = false;
  bool l2tp = false;  ///< IKEv1: carries L2TP and nothing else; who comes in is PPP's business

  /// Some gateways have other doors alone.
  [[nodiscard]] bool accepts_ike() const {
    return accept_certificate || accept_eap_mschapv2 || accept_eap_tls || accept_eap_radius || accept_psk;
  }
  bool operator==(const Gateway&) const = default;
};

}  // namespace sekisho::vpn
