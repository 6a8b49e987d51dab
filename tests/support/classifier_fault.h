// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/config/classifier.h"

namespace sekisho::dataplane {

/// While it lives, classifiers are compiled from the rules of another snapshot than the one they are built for and
/// checked against: a compiler with a defect. The other snapshot has the same tenants with as many rules.
class ClassifierFault {
 public:
  explicit ClassifierFault(const filters::SnapshotView& compiled_instead) {
    Classifier::miscompiled_ = &compiled_instead;
  }
  ~ClassifierFault() { Classifier::miscompiled_ = nullptr; }
  ClassifierFault(const ClassifierFault&) = delete;
  ClassifierFault& operator=(const ClassifierFault&) = delete;
};

}  // namespace sekisho::dataplane
