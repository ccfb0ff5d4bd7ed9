-- SPDX-License-Identifier: MIT
-- For wrk: 16 requests at once, as TechEmpower's plaintext test sends them.
init = function(args)
   local batch = {}
   for i = 1, 16 do
      batch[i] = wrk.format(nil, "/plaintext")
   end
   requests = table.concat(batch)
end

request = function()
   return requests
end
