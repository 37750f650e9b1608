// SPDX-License-Identifier: MIT
#include "support/make_container.h"

#include <stdlib.h>

namespace grab::test {

bool can_make_containers() {
  return ::system(("(" + kUnshare + "true && " + kBwrap + "true) 2>/dev/null").c_str()) == 0;
}

}  // namespace grab::test
